//! The manual page, made from the definition of the command line and from the tables of variables and exit classes.

use std::io;

use clap_mangen::Man;
use roff::{Roff, bold, roman};

use crate::cli::definition::{Purpose, VERSION, definition};
use crate::error::{Code, Exit};
use crate::platform;

/// The page.
pub fn page() -> String {
    // Writing into memory does not fail.
    written().unwrap_or_default()
}

fn written() -> io::Result<String> {
    let mut cli = definition(Purpose::Parse);
    cli.build();
    let mut page = Page(String::new());
    let man = Man::new(cli.clone()).manual("User Commands").source(VERSION);
    page.add(|part| man.render_title(part))?;
    // The library leaves a date that is not given out, and what comes after it would be taken for the date. There is none: the
    // page is the same whenever it is made.
    page.0 = page.0.replace(".TH equinix-wif 1  ", ".TH equinix-wif 1 \"\" ");
    page.add(|part| man.render_name_section(part))?;
    page.add(|part| man.render_synopsis_section(part))?;
    page.add(|part| man.render_options_section(part))?;
    for command in cli.get_subcommands() {
        page.command(command.clone())?;
    }
    page.add(|part| tables().to_writer(part))?;
    Ok(escaped(&page.0))
}

/// Characters beyond ASCII by their names, since not every formatter takes them as they are.
fn escaped(page: &str) -> String {
    let escape = |c: char| if c.is_ascii() { c.to_string() } else { format!("\\[u{:04X}]", u32::from(c)) };
    page.chars().map(escape).collect()
}

struct Page(String);

impl Page {
    /// Adds what the library writes. Each part begins with a definition of the apostrophe, of which a page needs one.
    fn add(&mut self, write: impl FnOnce(&mut Vec<u8>) -> io::Result<()>) -> io::Result<()> {
        let mut part = Vec::new();
        write(&mut part)?;
        let is_first = self.0.is_empty();
        let part = String::from_utf8_lossy(&part);
        for line in
            part.lines().filter(|line| is_first || !(line.starts_with(".ie ") || line.starts_with(".el ")))
        {
            self.0.push_str(line);
            self.0.push('\n');
        }
        Ok(())
    }

    /// One command: what it does, how it is called, and what it takes beside the options of every command.
    fn command(&mut self, mut command: clap::Command) -> io::Result<()> {
        let heading = command.get_name().to_uppercase();
        let usage = command.render_usage().to_string();
        let man = Man::new(command.override_usage(usage.trim_start_matches("Usage: ").to_owned()).mut_args(
            |arg| if arg.is_global_set() || arg.get_id() == "help" { arg.hide(true) } else { arg },
        ));
        let mut part = Self(String::from("\n"));
        part.add(|text| man.render_description_section(text))?;
        part.add(|text| man.render_synopsis_section(text))?;
        part.add(|text| man.render_options_section(text))?;
        // What heads a page of its own stands below the command's name in this one.
        let text = part.0.trim_start().replace(".SH DESCRIPTION\n", "").replace(".SH ", ".SS ");
        self.0.push_str(&format!(".SH {heading}\n{text}"));
        Ok(())
    }
}

/// Returns what does not follow from the command line.
fn tables() -> Roff {
    let mut roff = Roff::new();
    roff.control("SH", ["ENVIRONMENT"]);
    for (name, meaning) in platform::variables() {
        roff.control("TP", []).text([bold(*name)]).text([roman(meaning.trim().replace('`', ""))]);
    }
    roff.control("SH", ["EXIT STATUS"]);
    roff.control("TP", []).text([bold("0")]).text([roman("done")]);
    for exit in Exit::ALL {
        let codes: Vec<_> =
            Code::ALL.iter().filter(|code| code.exit() == exit).map(|code| code.name()).collect();
        let meaning = format!("{}: {}", exit.meaning(), codes.join(", "));
        roff.control("TP", []).text([bold(exit.status().to_string())]).text([roman(meaning)]);
    }
    roff.control("PP", []);
    roff.text([roman("Under exec, whatever fails before the command runs ends with 125.")]);
    roff.control("SH", ["SEE ALSO"]);
    roff.text([roman("equinix-wif explain CODE tells an error code's cause and cure.")]);
    roff
}
