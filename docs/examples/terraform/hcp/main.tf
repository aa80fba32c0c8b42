# No credential anywhere: the workspace's environment variables tell the provider the scope, and which variable holds the
# run's ID token. It exchanges by itself, once in the plan phase and once in the apply phase.
terraform {
  required_providers {
    equinix = {
      source  = "equinix/equinix"
      version = "~> 4.8"
    }
  }
}

provider "equinix" {}

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
