//! The real Terraform with providers that are written here, since none can be downloaded.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::tools::{INSTALL, need};
use crate::world::{World, suite};

/// The real Terraform.
#[track_caller]
pub(crate) fn need_terraform() {
    let mut version = Command::new("terraform");
    version.arg("version").env("CHECKPOINT_DISABLE", "1");
    need("Terraform", &mut version, "install Terraform (in no registry that the script could take it from)");
}

/// A filesystem mirror: providers by their address, and nothing else to install one from.
pub(crate) struct Mirror {
    python: PathBuf,
    providers: Vec<(String, &'static str, PathBuf)>,
}

impl Mirror {
    /// An empty one, where Terraform and what the providers need are installed.
    #[track_caller]
    pub(crate) fn for_terraform() -> Self {
        need_terraform();
        let python = suite().join(".venv/bin/python");
        need("Python package tf", Command::new(&python).args(["-c", "import tf"]), INSTALL);
        Self { python, providers: Vec::new() }
    }

    /// A provider under its whole address, `host/namespace/type`.
    pub(crate) fn add(&mut self, address: &str, version: &'static str, script: &Path) {
        self.providers.push((address.to_owned(), version, script.to_owned()));
    }

    /// Writes the mirror, and the settings with which Terraform looks nowhere else (`cli.tfrc`).
    pub(crate) fn write(&self, world: &World) {
        let architecture = if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" };
        for (address, version, script) in &self.providers {
            let name = address.rsplit('/').next().unwrap();
            let text = format!("#!/bin/sh\nexec '{}' '{}' \"$@\"\n", self.python.display(), script.display());
            let file = format!(
                "mirror/{address}/{version}/linux_{architecture}/terraform-provider-{name}_v{version}"
            );
            world.write_script(&file, &text);
        }
        let settings = format!(
            "provider_installation {{\n  filesystem_mirror {{\n    path = \"{}\"\n  }}\n}}\n",
            world.path("mirror").display()
        );
        world.write("cli.tfrc", &settings);
    }
}
