# No credential anywhere: the hook of the agent gives each phase of a run an access token in EQUINIX_API_TOKEN.
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
