# The token as an input variable that Terraform writes neither into the plan nor into the state (Terraform 1.10, OpenTofu
# 1.11). `equinix-wif exec` sets it for one command.
terraform {
  required_version = ">= 1.10"
  required_providers {
    equinix = {
      source  = "equinix/equinix"
      version = "~> 4.8"
    }
  }
}

variable "equinix_token" {
  type      = string
  ephemeral = true
  sensitive = true
}

provider "equinix" {
  token = var.equinix_token
}

# Whatever you need of the provider; this asks for little.
data "equinix_fabric_metros" "all" {
  pagination = {
    limit  = 20
    offset = 0
  }
}

output "metros" {
  value = [for metro in data.equinix_fabric_metros.all.data : metro.code]
}
