# No credential anywhere: the provider reads the scope and the ID token from the environment, and exchanges by itself.
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
