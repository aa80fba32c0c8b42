//! Where the service listens and who gets in there: ports, sockets, the bearer's file, and what is refused at the start.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::client::{Ask, Place};
use crate::support::mcp;
use crate::support::server::{Queue, Reply, Request, Server};
use crate::support::service::{Service, Setup};
use crate::support::sts::Sts;
use crate::support::{random_text, until};

const TOKEN: &str = "/oauth2/v1/token";

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().mode() & 0o7777
}

fn token() -> Ask {
    Ask::json(TOKEN, &json!({}))
}

fn listing() -> Ask {
    mcp::post(&mcp::request(1, "tools/list", json!({})))
}

/// With both adapters at sockets.
fn at_sockets(setup: Setup) -> Setup {
    let path = |name: &str| format!("unix:{}", setup.path(name).display());
    let (rest, mcp) = (path("rest.sock"), path("mcp.sock"));
    setup.with("--rest-listen", &rest).with("--mcp-listen", &mcp)
}

/// Asks whether a service is ready: the exit status of `--probe`.
#[track_caller]
fn probe(place: &Place) -> i32 {
    let address = match place {
        Place::Port(address) => address.to_string(),
        Place::Socket(path) => format!("unix:{}", path.display()),
    };
    let asked = Instant::now();
    let (status, stderr) = Setup::new().with("--rest-listen", &address).args(["--probe"]).run();
    assert_eq!(stderr, "");
    assert!(asked.elapsed() < Duration::from_secs(10));
    status
}

#[test]
fn addresses_that_others_can_reach_are_refused() {
    for flag in ["--rest-listen", "--mcp-listen"] {
        for address in ["0.0.0.0:0", "192.0.2.1:8080", "[::]:0", "example.com:80", "8080", "unix:"] {
            let (status, stderr) = Setup::sandbox().with(flag, address).run();
            assert_eq!(status, 2, "{stderr}");
            assert!(stderr.starts_with("error[cfg-value-invalid]: "), "{stderr}");
            assert!(stderr.contains(flag), "{stderr}");
        }
    }
}

#[test]
fn a_port_that_is_taken_is_said() {
    let other = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = other.local_addr().unwrap().to_string();
    for flag in ["--rest-listen", "--mcp-listen"] {
        let (status, stderr) = Setup::sandbox().with(flag, &address).run();
        assert_ne!(status, 0);
        assert!(stderr.contains("error[listen-failed]: ") && stderr.contains(&address), "{stderr}");
        assert!(!stderr.contains("\"event\":\"ready\""), "{stderr}");
    }
}

#[test]
fn both_adapters_can_be_at_sockets_and_need_no_bearer_there() {
    let service = at_sockets(Setup::sandbox()).start();
    let (rest, mcp) = (service.path("rest.sock"), service.path("mcp.sock"));
    assert_eq!((service.rest(), service.mcp()), (&Place::Socket(rest.clone()), &Place::Socket(mcp.clone())));
    assert_eq!((mode(&rest) & 0o777, mode(&mcp) & 0o777), (0o600, 0o600));
    service.ask_as_it_is(&token()).is(200);
    service.ask_as_it_is(&token().bearer(&random_text(40))).is(200);
    service.mcp().ask(&listing()).is(200);
    // No page in a browser gets here, whatever its name.
    service.ask_as_it_is(&token().header("Host", "whatever")).is(200);
    service.ask_as_it_is(&token().header("Origin", "http://evil.example")).is(403);
    let events = service.logs("hand-out", 1);
    assert_eq!(events[0]["pid"], std::process::id());
    assert_eq!(events[0]["uid"], rustix::process::geteuid().as_raw());
    // That both are gone afterwards, the harness looks.
    service.end();
}

#[test]
fn a_socket_that_was_left_behind_is_taken_over() {
    let setup = at_sockets(Setup::sandbox());
    drop(UnixListener::bind(setup.path("rest.sock")).unwrap());
    assert!(setup.path("rest.sock").exists());
    let service = setup.start();
    service.ask_as_it_is(&token()).is(200);
}

#[test]
fn a_socket_that_somebody_answers_is_left_to_them() {
    let service = at_sockets(Setup::sandbox()).start();
    let address = format!("unix:{}", service.path("rest.sock").display());
    for flag in ["--rest-listen", "--mcp-listen"] {
        let (status, stderr) = Setup::sandbox().with(flag, &address).run();
        assert_ne!(status, 0);
        assert!(stderr.contains("error[listen-failed]: "), "{stderr}");
        service.ask_as_it_is(&token()).is(200);
    }
}

#[test]
fn a_file_that_is_no_socket_is_left_alone() {
    let setup = at_sockets(Setup::sandbox());
    let path = setup.path("rest.sock");
    fs::write(&path, "precious").unwrap();
    let other = tempfile::tempdir().unwrap();
    let file = other.path().join("file");
    fs::write(&file, "precious").unwrap();
    let (status, stderr) = Setup::sandbox().with("--rest-listen", &format!("unix:{}", file.display())).run();
    assert_ne!(status, 0, "{stderr}");
    assert_eq!(fs::read_to_string(&file).unwrap(), "precious");
    let missing = other.path().join("missing/sock");
    let (status, stderr) =
        Setup::sandbox().with("--mcp-listen", &format!("unix:{}", missing.display())).run();
    assert!(status != 0 && stderr.contains("no such folder"), "{stderr}");
    // The one that was opened before is not left behind.
    let first = other.path().join("first.sock");
    let rest = format!("unix:{}", first.display());
    let mcp = format!("unix:{}", file.display());
    let (status, _) = Setup::sandbox().with("--rest-listen", &rest).with("--mcp-listen", &mcp).run();
    assert!(status != 0 && !first.exists());
}

#[test]
fn a_socket_that_was_replaced_is_not_removed() {
    let service = at_sockets(Setup::sandbox()).start();
    let path = service.path("rest.sock");
    fs::remove_file(&path).unwrap();
    let moved = service.path("other.sock");
    let other = UnixListener::bind(&moved).unwrap();
    fs::hard_link(&moved, &path).unwrap();
    let kept = path.parent().unwrap().join("kept.sock");
    service.terminate();
    until("the service ends", || (!service.path("mcp.sock").exists()).then_some(()));
    assert!(path.exists(), "it is somebody else's");
    fs::rename(&path, &kept).unwrap();
    drop(other);
    let mut service = service;
    service.conclude();
}

#[test]
fn the_probe_tells_whether_it_is_ready() {
    let sts = Sts::start().hold();
    let service = Setup::federated(&sts).start();
    sts.is_asked(1);
    assert_eq!(probe(service.rest()), 1, "it has no token yet");
    sts.release();
    service.token().is(200);
    assert_eq!(probe(service.rest()), 0);
    let rest = service.rest().clone();
    service.end();
    assert_eq!(probe(&rest), 1, "nobody is there");
}

#[test]
fn the_probe_asks_sockets_as_well() {
    let service = at_sockets(Setup::sandbox()).start();
    service.ask_as_it_is(&token()).is(200);
    assert_eq!(probe(service.rest()), 0);
    let rest = service.rest().clone();
    service.end();
    assert_eq!(probe(&rest), 1);
}

#[test]
fn the_probe_is_not_taken_in() {
    let html = Server::start(|_: &Request| Reply::status(404).body("<html>200</html>"));
    let redirect = Server::start(|_: &Request| Reply::status(302).header("Location", "/"));
    let silent = Server::start(|_: &Request| Reply::stall());
    let closed = Server::start(Queue::default().reply(Reply::close_unread()));
    for server in [&html, &redirect, &silent, &closed] {
        assert_eq!(probe(&Place::Port(server.address())), 1);
    }
    let (status, stderr) = Setup::new().without("--rest-listen").args(["--no-rest", "--probe"]).run();
    assert_eq!(status, 2);
    assert!(stderr.starts_with("error[cfg-usage]: "), "{stderr}");
}

#[test]
fn the_private_folder_is_private() {
    let service = Setup::sandbox().start();
    assert!(service.bearer.starts_with("ewh_") && service.bearer.len() == 47);
    assert_eq!(mode(&service.bearer_file), 0o600);
    let folder = service.bearer_file.parent().unwrap();
    assert_eq!(mode(folder), 0o700);
    assert!(folder.starts_with(service.path("tmp")));
}

#[test]
fn files_of_running_programs_have_a_place_of_their_own() {
    let setup = Setup::sandbox();
    let runtime = setup.path("run");
    fs::create_dir(&runtime).unwrap();
    let service = setup.env("XDG_RUNTIME_DIR", &runtime).start();
    let folder = service.bearer_file.parent().unwrap().to_owned();
    assert_eq!(folder.parent(), Some(runtime.as_path()));
    let kept = runtime.clone();
    service.terminate();
    until("the folder goes", || fs::read_dir(&kept).unwrap().next().is_none().then_some(()));
    let mut service = service;
    service.conclude();
}

#[test]
fn the_bearer_can_come_from_a_file() {
    let setup = Setup::sandbox();
    let path = setup.path("bearer");
    let bearer = random_text(48);
    fs::write(&path, format!("{bearer}\n")).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    let service = setup.secret(&bearer).args(["--bearer-file", path.to_str().unwrap()]).start();
    assert_eq!((service.bearer.as_str(), &service.bearer_file), (bearer.as_str(), &path));
    service.token().is(200);
    service.mcp().ask(&listing().bearer(&bearer)).is(200);
}

#[test]
fn a_bearer_file_is_made_where_there_is_none_and_stays() {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("bearer");
    let start = || Setup::sandbox().args(["--bearer-file", path.to_str().unwrap()]).start();
    let first = start();
    assert_eq!(mode(&path), 0o600);
    first.token().is(200);
    let bearer = first.bearer.clone();
    first.end();
    let second = start();
    assert_eq!(second.bearer, bearer, "clients keep it");
    second.token().is(200);
    second.end();
    assert!(path.exists());
}

#[test]
fn a_bearer_file_that_is_weak_or_open_is_refused() {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("bearer");
    let good = random_text(40);
    for (content, mode) in [
        (good.clone(), 0o644),
        (good.clone(), 0o640),
        (good.clone(), 0o602),
        (random_text(31), 0o600),
        (random_text(513), 0o600),
        (format!("{} {}", random_text(20), random_text(20)), 0o600),
        (format!("{}\n{}", random_text(20), random_text(20)), 0o600),
        (String::new(), 0o600),
    ] {
        fs::write(&path, &content).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        let (status, stderr) =
            Setup::sandbox().secret(&content).args(["--bearer-file", path.to_str().unwrap()]).run();
        assert_eq!(status, 2, "{stderr}");
        assert!(stderr.contains("error[cfg-secret-file]: --bearer-file"), "{stderr}");
        assert_eq!(fs::read_to_string(&path).unwrap(), content, "it is left as it is");
    }
    let folder = place.path().to_str().unwrap();
    assert_eq!(Setup::sandbox().args(["--bearer-file", folder]).run().0, 2);
}

#[test]
fn a_pipe_in_place_of_the_bearer_file_is_not_waited_for() {
    let setup = Setup::sandbox();
    let path = setup.path("pipe");
    let made = Command::new("mkfifo").args(["-m", "600"]).arg(&path).status().unwrap();
    assert!(made.success());
    let (status, stderr) = setup.args(["--bearer-file", path.to_str().unwrap()]).run();
    assert_eq!(status, 2, "{stderr}");
    assert!(stderr.contains("error[cfg-secret-file]: --bearer-file"), "{stderr}");
}

#[test]
fn a_bearer_file_of_somebody_else_is_refused() {
    if !rustix::process::geteuid().is_root() {
        // Nobody else can give a file away; the rule itself has a unit test.
        return;
    }
    let setup = Setup::sandbox();
    let path = setup.path("bearer");
    let bearer = random_text(40);
    fs::write(&path, &bearer).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    std::os::unix::fs::chown(&path, Some(12_345), None).unwrap();
    let (status, stderr) = setup.secret(&bearer).args(["--bearer-file", path.to_str().unwrap()]).run();
    assert_eq!(status, 2, "{stderr}");
    assert!(stderr.contains("somebody else"), "{stderr}");
}

#[test]
fn whoever_lets_everybody_in_is_told_so() {
    let service = Setup::sandbox().args(["--allow-unauthenticated"]).start();
    let log = service.log();
    let warns = log.lines().any(|line| line.contains("\"WARN\"") && line.contains("--allow-unauthenticated"));
    assert!(warns, "{log}");
    service.ask_as_it_is(&token()).is(200);
    service.ask_as_it_is(&token().bearer(&random_text(40))).is(200);
    service.mcp().ask(&listing()).is(200);
    service.ask_as_it_is(&Ask::get("/metrics")).is(200);
    // The STS goes by the handle in any case.
    let fields = [("grant_type", "urn:ietf:params:oauth:grant-type:token-exchange"), ("subject_token", "x")];
    service.ask_as_it_is(&Ask::form("/use/token", &fields)).refuses_oauth(401, "invalid_client");
    // A page still gets nothing.
    service.ask_as_it_is(&token().header("Host", "evil.example")).is(421);
    service.ask_as_it_is(&token().header("Origin", "http://evil.example")).is(403);
    service.mcp().ask(&listing().header("Host", "evil.example")).is(421);
    service.mcp().ask(&listing().header("Origin", "null")).is(403);
}

#[test]
fn whoever_shows_tokens_to_models_is_told_so() {
    let service = Setup::sandbox().args(["--reveal-tokens"]).start();
    let log = service.log();
    let warns = log.lines().any(|line| line.contains("\"WARN\"") && line.contains("--reveal-tokens"));
    assert!(warns, "{log}");
}

#[test]
fn tokens_of_its_own_are_not_shown_to_everybody() {
    let both = ["--reveal-tokens", "--allow-unauthenticated"];
    let (status, stderr) = Setup::sandbox().args(both).run();
    assert_eq!(status, 2);
    assert!(stderr.contains("error[cfg-usage]: --reveal-tokens and --allow-unauthenticated"), "{stderr}");
    // What callers bring is theirs.
    Setup::passing("http://127.0.0.1:1").args(both).start();
}

#[test]
fn either_adapter_can_be_left_out() {
    let only_mcp = Setup::sandbox().without("--rest-listen").args(["--no-rest"]).start();
    assert_eq!(only_mcp.has(), (false, true));
    assert_eq!(only_mcp.ready["rest"], Value::Null);
    only_mcp.ask_mcp(listing()).is(200);
    let only_rest = Setup::sandbox().without("--mcp-listen").args(["--no-mcp"]).start();
    assert_eq!(only_rest.has(), (true, false));
    assert_eq!(only_rest.ready["mcp"], Value::Null);
    only_rest.token().is(200);
    let neither = Setup::sandbox().without("--rest-listen").without("--mcp-listen");
    let (status, stderr) = neither.args(["--no-rest", "--no-mcp"]).run();
    assert_eq!(status, 2, "{stderr}");
}

#[test]
fn the_ready_line_says_where_everything_is() {
    let service = Setup::sandbox().start();
    let ready = &service.ready;
    let url = |place: &Place, path: &str| format!("http://{}{path}", place.address());
    assert_eq!(ready["rest"], url(service.rest(), ""));
    assert_eq!(ready["mcp"], url(service.mcp(), "/mcp"));
    assert_eq!(ready["bearer_file"], service.bearer_file.to_str().unwrap());
    let times = service.log().matches("\"event\":\"ready\"").count();
    assert_eq!(times, 1);
}

#[test]
fn a_log_for_people_has_a_line_that_begins_with_ready() {
    let service: Service = Setup::sandbox().text_log().start();
    let log = service.log();
    let lines: Vec<_> = log.lines().filter(|line| line.starts_with("ready ")).collect();
    let expected = format!(
        "ready rest=http://{} mcp=http://{}/mcp backend=federated bearer-file=\"{}\"",
        service.rest().address(),
        service.mcp().address(),
        service.bearer_file.display()
    );
    assert_eq!(lines, [expected]);
    service.token().is(200);
}

#[test]
fn settings_are_those_of_the_small_program() {
    let (status, stderr) = Setup::sandbox().args(["--timeout", "never"]).run();
    assert_eq!(status, 2, "{stderr}");
    let (status, stderr) = Setup::sandbox().args(["--nonsense"]).run();
    assert_eq!(status, 2);
    assert!(stderr.contains("equinix-wif-serve --help"), "{stderr}");
    let secret = random_text(30);
    let (status, stderr) = Setup::sandbox().secret(&secret).args(["--client-secret", &secret]).run();
    assert_eq!(status, 2, "{stderr}");
}
