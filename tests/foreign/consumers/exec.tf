# The token in the environment of Terraform and of what it runs.
resource "terraform_data" "use" {
  provisioner "local-exec" {
    command = "printf %s \"$EQUINIX_API_TOKEN\" >\"$SEEN/token\"; env | cut -d= -f1 >\"$SEEN/names\""
  }
}
