# The token as a value of the configuration. IT IS IN THE STATE THEN, and in every saved plan, until it expires.
terraform {
  required_providers {
    equinix = {
      source  = "equinix/equinix"
      version = "~> 4.8"
    }
    external = {
      source  = "hashicorp/external"
      version = "~> 2.3"
    }
  }
}

variable "audience" {
  type = string
}

variable "scope" {
  type = string
}

data "external" "token" {
  program = ["equinix-wif", "token", "--format", "terraform-external"]
  query = {
    audience = var.audience
    scope    = var.scope
    min_ttl  = "900"
  }
}

provider "equinix" {
  token = data.external.token.result.access_token
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

output "expires_at" {
  value = data.external.token.result.expires_at
}
