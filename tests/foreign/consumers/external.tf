# The token as a value, through the data source external.
terraform {
  required_providers {
    external = {
      source = "example.test/project/external"
    }
  }
}

variable "scope" {}
variable "flags" {
  type    = list(string)
  default = []
}

data "external" "equinix" {
  program = concat(["equinix-wif", "token", "--format", "terraform-external"], var.flags)
  query = {
    scope    = var.scope
    audience = "equinix-sandbox"
  }
}

resource "terraform_data" "use" {
  input = data.external.equinix.result.scope
  provisioner "local-exec" {
    command     = "printf %s \"$TOKEN\" >\"$SEEN/token\""
    environment = { TOKEN = data.external.equinix.result.access_token }
  }
}

output "expires_at" {
  value = data.external.equinix.result.expires_at
}
