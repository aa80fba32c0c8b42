//! The places together, as a format opens and writes them.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

use super::*;
use crate::output::format::by_name;

struct Folders {
    root: tempfile::TempDir,
}

impl Folders {
    fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir(root.path().join("checkout")).unwrap();
        fs::create_dir(root.path().join("temp")).unwrap();
        Self { root }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    fn env(&self, extra: &[(&str, PathBuf)]) -> Env {
        let mut pairs = vec![("GITHUB_WORKSPACE".to_owned(), self.path("checkout").into_os_string())];
        pairs.extend(extra.iter().map(|(k, v)| ((*k).to_owned(), v.clone().into_os_string())));
        Env::fixed(pairs)
    }
}

fn policy<'a>(env: &'a Env, output: Option<&'a Path>) -> Policy<'a> {
    Policy {
        env,
        output,
        allow_workspace: false,
        accept_artifact_exposure: false,
        force: false,
        stdout: StdoutKind::Ordinary,
    }
}

fn deliver(format: &str, policy: &Policy<'_>) -> Result<Vec<u8>, Error> {
    let sinks = Sinks::open(by_name(format)?, false, policy)?;
    let mut stdout = Vec::new();
    sinks.commit(|_| Ok(SecretBytes::new("the token\n")), &mut stdout, &mut 0)?;
    Ok(stdout)
}

fn code(outcome: Result<Vec<u8>, Error>) -> &'static str {
    outcome.map_or_else(|error| error.code().name(), |_| "ok")
}

#[test]
fn a_new_file_is_private_whole_and_alone() {
    let place = Folders::new();
    let env = place.env(&[("RUNNER_TEMP", place.path("temp"))]);
    let printed = deliver("env-file", &policy(&env, None)).unwrap();
    let path = PathBuf::from(String::from_utf8(printed).unwrap().trim_end());
    assert_eq!(fs::read(&path).unwrap(), b"the token\n");
    assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
    assert!(path.starts_with(fs::canonicalize(place.path("temp")).unwrap()));
    assert_eq!(fs::read_dir(place.path("temp")).unwrap().count(), 1, "no temporary file stays");
}

#[test]
fn nothing_stays_when_the_run_ends_before_the_token() {
    let place = Folders::new();
    let env = place.env(&[("RUNNER_TEMP", place.path("temp"))]);
    drop(Sinks::open(by_name("env-file").unwrap(), false, &policy(&env, None)).unwrap());
    assert_eq!(fs::read_dir(place.path("temp")).unwrap().count(), 0);
}

#[test]
fn folders_are_taken_in_order_and_only_if_private() {
    let place = Folders::new();
    fs::create_dir(place.path("open")).unwrap();
    fs::set_permissions(place.path("open"), PermissionsExt::from_mode(0o777)).unwrap();
    fs::create_dir(place.path("checkout/temp")).unwrap();
    let project = place.path("checkout");
    fs::create_dir(place.path("checkout.tmp")).unwrap();
    fs::create_dir(place.path("two\nlines")).unwrap();
    for (pairs, folder) in [
        (vec![("RUNNER_TEMP", place.path("none")), ("TMPDIR", place.path("temp"))], "temp"),
        (vec![("RUNNER_TEMP", place.path("open")), ("TMPDIR", place.path("temp"))], "temp"),
        (vec![("RUNNER_TEMP", place.path("two\nlines")), ("TMPDIR", place.path("temp"))], "temp"),
        (vec![("RUNNER_TEMP", place.path("checkout/temp")), ("TMPDIR", place.path("temp"))], "temp"),
        (vec![("CI_PROJECT_DIR", project), ("TMPDIR", place.path("temp"))], "checkout.tmp"),
    ] {
        let env = place.env(&pairs);
        let printed = String::from_utf8(deliver("env-file", &policy(&env, None)).unwrap()).unwrap();
        let expected = fs::canonicalize(place.path(folder)).unwrap();
        assert_eq!(Path::new(printed.trim_end()).parent().unwrap(), expected);
    }
    // The same folder with the sticky bit is what /tmp is.
    fs::set_permissions(place.path("open"), PermissionsExt::from_mode(0o1777)).unwrap();
    let env = place.env(&[("TMPDIR", place.path("open"))]);
    let printed = String::from_utf8(deliver("env-file", &policy(&env, None)).unwrap()).unwrap();
    assert!(printed.contains("/open/"), "{printed}");
}

#[test]
fn an_output_path_must_be_safe() {
    let place = Folders::new();
    let env = place.env(&[]);
    let at = |path: PathBuf| code(deliver("raw", &policy(&env, Some(&path))));
    assert_eq!(at(place.path("temp/token")), "ok");
    assert_eq!(at(place.path("temp/token")), "ok", "an existing file is replaced");
    assert_eq!(fs::read(place.path("temp/token")).unwrap(), b"the token\n");
    assert_eq!(at(place.path("checkout/token")), "out-in-workspace");
    assert_eq!(at(place.path("temp/../checkout/token")), "out-in-workspace");
    symlink(place.path("checkout"), place.path("link")).unwrap();
    assert_eq!(at(place.path("link/token")), "out-in-workspace");
    symlink(place.path("temp/token"), place.path("temp/alias")).unwrap();
    assert_eq!(at(place.path("temp/alias")), "out-symlink");
    fs::create_dir(place.path("open")).unwrap();
    fs::set_permissions(place.path("open"), PermissionsExt::from_mode(0o777)).unwrap();
    assert_eq!(at(place.path("open/token")), "out-symlink");
    assert_eq!(fs::read_dir(place.path("open")).unwrap().count(), 0);
    assert_eq!(at(place.path("temp")), "out-open");
    assert_eq!(at(place.path("none/token")), "out-open");
    assert_eq!(at(PathBuf::from("/dev/null")), "out-open");
    assert_eq!(at(PathBuf::from("/")), "out-open");
    let path = place.path("checkout/token");
    let allowed = Policy { allow_workspace: true, ..policy(&env, Some(&path)) };
    assert_eq!(code(deliver("raw", &allowed)), "ok");
}

fn make_open(path: PathBuf, mode: u32) {
    fs::create_dir_all(&path).unwrap();
    fs::set_permissions(path, PermissionsExt::from_mode(mode)).unwrap();
}

#[test]
fn every_folder_on_the_way_to_an_output_must_be_safe() {
    let place = Folders::new();
    let env = place.env(&[("RUNNER_TEMP", place.path("temp"))]);
    make_open(place.path("open"), 0o777);
    make_open(place.path("open/mine"), 0o700);
    let path = place.path("open/mine/token");
    let error = deliver("raw", &policy(&env, Some(&path))).unwrap_err();
    assert_eq!(error.code(), Code::OutSymlink);
    let open = quote(&fs::canonicalize(place.path("open")).unwrap().to_string_lossy());
    assert!(error.message().ends_with(&format!("{open} can be written by other users")), "{error}");
    // The hint names what works.
    let (_, named) = error.cure().split_once("--output \"").unwrap();
    let named = PathBuf::from(named.split_once('"').unwrap().0);
    assert_eq!(named, fs::canonicalize(place.path("temp")).unwrap().join("token"));
    assert_eq!(code(deliver("raw", &policy(&env, Some(&named)))), "ok");
    assert_eq!(fs::read_dir(place.path("open/mine")).unwrap().count(), 0);
    assert_eq!(fs::read_dir(place.path("temp")).unwrap().count(), 1);
    // The default format passes over it.
    let env = place.env(&[("RUNNER_TEMP", place.path("open/mine")), ("TMPDIR", place.path("temp"))]);
    let printed = String::from_utf8(deliver("env-file", &policy(&env, None)).unwrap()).unwrap();
    assert!(Path::new(&printed).starts_with(fs::canonicalize(place.path("temp")).unwrap()), "{printed}");
    // The report has no secret, and may lie anywhere.
    let report = public_file(&place.path("open/mine/report.json")).unwrap();
    assert_eq!(fs::read(report.commit(b"{}").unwrap()).unwrap(), b"{}");
}

/// Checks the case of GitLab's runner, which makes the checkout in a container writable for everybody.
#[test]
fn an_artifact_may_be_in_a_checkout_that_everybody_may_write() {
    let place = Folders::new();
    let env = place.env(&[]);
    make_open(place.path("checkout"), 0o777);
    make_open(place.path("open"), 0o777);
    let deliver = |path: &str| {
        let path = place.path(path);
        let policy = Policy { accept_artifact_exposure: true, ..policy(&env, Some(&path)) };
        code(deliver("gitlab-dotenv", &policy))
    };
    assert_eq!(deliver("checkout/equinix.env"), "ok");
    assert_eq!(deliver("open/equinix.env"), "out-symlink");
    assert_eq!(deliver("temp/equinix.env"), "ok");
    // Another format needs consent to the checkout, and a hint that this one would follow from is not given.
    let path = place.path("checkout/token");
    let error = super::Sinks::open(by_name("raw").unwrap(), false, &policy(&env, Some(&path))).err().unwrap();
    assert_eq!(error.code(), Code::OutInWorkspace);
    assert!(!error.cure().contains("--allow-workspace"), "{}", error.cure());
}

#[test]
fn a_dash_is_standard_output() {
    let place = Folders::new();
    let file = place.path("temp/output");
    fs::write(&file, "").unwrap();
    let env = place.env(&[("GITHUB_OUTPUT", file), ("RUNNER_TEMP", place.path("temp"))]);
    let dash = Path::new("-");
    for format in ["raw", "json", "shell", "env-file"] {
        assert_eq!(deliver(format, &policy(&env, Some(dash))).unwrap(), b"the token\n", "{format}");
        let terminal = Policy { stdout: StdoutKind::Terminal, ..policy(&env, Some(dash)) };
        assert_eq!(code(deliver(format, &terminal)), "out-tty", "{format}");
    }
    let artifact = Policy { accept_artifact_exposure: true, ..policy(&env, Some(dash)) };
    assert_eq!(code(deliver("gitlab-dotenv", &artifact)), "cfg-value-invalid");
    assert_eq!(code(deliver("github", &policy(&env, Some(dash)))), "cfg-value-invalid");
    assert!(!Path::new("-").exists());
}

#[test]
fn a_format_knows_whether_a_file_or_standard_output_gets_it() {
    let place = Folders::new();
    let env = place.env(&[]);
    let path = place.path("temp/token");
    for (format, output, expected) in [
        ("raw", None, Destination::Stdout),
        ("raw", Some("-"), Destination::Stdout),
        ("raw", path.to_str(), Destination::File),
        ("env-file", Some("-"), Destination::Stdout),
        ("env-file", path.to_str(), Destination::NewFile),
    ] {
        let sinks =
            Sinks::open(by_name(format).unwrap(), false, &policy(&env, output.map(Path::new))).unwrap();
        let render = |place| {
            assert_eq!(place, expected, "{format} {output:?}");
            Ok(SecretBytes::new("t"))
        };
        sinks.commit(render, &mut Vec::new(), &mut 0).unwrap();
    }
}

#[test]
fn the_last_resorts_have_to_be_this_user_s() {
    let place = Folders::new();
    make_open(place.path("open"), 0o777);
    make_open(place.path("checkout/home"), 0o700);
    let own = |name: &'static str, folder: &str| {
        let env = place.env(&[(name, place.path(folder))]);
        let folder = fs::canonicalize(place.path(folder)).unwrap();
        super::places::last_resort(&policy(&env, None), &folder)
    };
    for name in ["HOME", "XDG_RUNTIME_DIR"] {
        assert!(own(name, "temp"), "{name}");
        assert!(!own(name, "open"), "{name}: everybody may write there");
        assert!(!own(name, "checkout/home"), "{name}: in the checkout");
    }
    let env = place.env(&[("HOME", PathBuf::from("/"))]);
    assert!(!super::places::last_resort(&policy(&env, None), Path::new("/")), "that is no home");
}

#[test]
fn what_the_runner_would_not_read_is_found_out_first() {
    let place = Folders::new();
    let path = place.path("temp/output");
    let env = place.env(&[("GITHUB_OUTPUT", path.clone()), ("GITHUB_STEP_SUMMARY", path.clone())]);
    for before in [&b"a<<E\nx\n"[..], b"junk\n", b"\xff\xfea\0=\0b\0"] {
        fs::write(&path, before).unwrap();
        let opened = Sinks::open(by_name("github").unwrap(), false, &policy(&env, None));
        assert_eq!(opened.err().unwrap().code(), Code::OutOpen);
        leave_failure(by_name("github").unwrap(), Code::OutOpen, &env);
        assert_eq!(fs::read(&path).unwrap(), before, "the code would be lost too");
        // The summary is a text of any form.
        append("GITHUB_STEP_SUMMARY", &env, b"x").unwrap();
        assert!(fs::read(&path).unwrap().ends_with(b"x"));
    }
}

#[test]
fn a_place_that_fails_late_names_those_that_were_written() {
    let place = Folders::new();
    let path = place.path("temp/output");
    fs::write(&path, "").unwrap();
    let env = place.env(&[("GITHUB_OUTPUT", path.clone())]);
    let mut sinks = Sinks::open(by_name("github").unwrap(), false, &policy(&env, None)).unwrap();
    sinks.places.extend(Sinks::open(by_name("raw").unwrap(), false, &policy(&env, None)).unwrap().places);
    let mut written = 0;
    let error = sinks.commit(|_| Ok(SecretBytes::new("t")), &mut Closed, &mut written).unwrap_err();
    assert_eq!((error.code(), written), (Code::OutPartial, 1));
    assert_eq!(
        error.message(),
        "GITHUB_OUTPUT was written, but then standard output was closed by its reader"
    );
    assert_eq!(error.details()[0], ("code", "out-closed".to_owned()));
    assert_eq!(fs::read(&path).unwrap(), b"t");
}

#[test]
fn a_terminal_needs_force() {
    let env = Env::fixed([("A", "b")]);
    let terminal = Policy { stdout: StdoutKind::Terminal, ..policy(&env, None) };
    assert_eq!(code(deliver("raw", &terminal)), "out-tty");
    assert_eq!(code(deliver("raw", &Policy { force: true, ..terminal })), "ok");
}

#[test]
fn a_runner_file_is_appended_to_and_never_made() {
    let place = Folders::new();
    let path = place.path("temp/output");
    let with = |path: PathBuf| place.env(&[("GITHUB_OUTPUT", path)]);
    assert_eq!(code(deliver("github", &policy(&place.env(&[]), None))), "out-runner-file-missing");
    assert_eq!(code(deliver("github", &policy(&with(path.clone()), None))), "out-runner-file-missing");
    assert!(!path.exists());
    for (before, after) in [
        ("", "the token\n"),
        ("a=b\n", "a=b\nthe token\n"),
        ("a=b", "a=b\nthe token\n"),
        ("a=b\r\n", "a=b\r\nthe token\n"),
    ] {
        fs::write(&path, before).unwrap();
        assert!(deliver("github", &policy(&with(path.clone()), None)).unwrap().is_empty());
        assert_eq!(fs::read_to_string(&path).unwrap(), after);
    }
    symlink(&path, place.path("temp/alias")).unwrap();
    assert_eq!(code(deliver("github", &policy(&with(place.path("temp/alias")), None))), "out-symlink");
    assert_eq!(code(deliver("github", &policy(&with(place.path("temp")), None))), "out-open");
    assert_eq!(code(deliver("github", &policy(&with(PathBuf::from("/dev/null")), None))), "out-open");
    let output = place.path("temp/x");
    assert_eq!(code(deliver("github", &policy(&with(path), Some(&output)))), "cfg-value-invalid");
}

struct Closed;

impl Write for Closed {
    fn write(&mut self, _: &[u8]) -> io::Result<usize> {
        Err(io::ErrorKind::BrokenPipe.into())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_closed_reader_is_told_and_leaves_no_file() {
    let place = Folders::new();
    let env = place.env(&[("RUNNER_TEMP", place.path("temp"))]);
    for format in ["raw", "env-file"] {
        let sinks = Sinks::open(by_name(format).unwrap(), false, &policy(&env, None)).unwrap();
        let error = sinks.commit(|_| Ok(SecretBytes::new("t")), &mut Closed, &mut 0).unwrap_err();
        assert_eq!(error.code(), Code::OutClosed, "{format}");
    }
    assert_eq!(fs::read_dir(place.path("temp")).unwrap().count(), 0);
}
