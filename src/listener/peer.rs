//! The process at the other end of a loopback connection, as far as the system tells.

use std::net::SocketAddr;

/// The process at the other end. Fit for a log, and not for a decision: a socket can be passed on, and a process id is
/// given to another process later.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Caller {
    /// The process; `None` when it is another user's, or in another namespace.
    pub pid: Option<u32>,
    /// The user.
    pub uid: Option<u32>,
}

/// Looks up the process that connects from `peer` to `local`; `None` when the system does not tell. Reads the system's
/// list of connections and of open files, so the caller has to limit how often that happens.
#[cfg(target_os = "linux")]
pub fn caller(peer: SocketAddr, local: SocketAddr) -> Option<Caller> {
    linux::caller(peer, local)
}

/// Looks up the process that connects from `peer` to `local`; `None` when the system does not tell.
#[cfg(not(target_os = "linux"))]
pub fn caller(_: SocketAddr, _: SocketAddr) -> Option<Caller> {
    None
}

#[cfg(target_os = "linux")]
mod linux {
    use std::cmp::Reverse;
    use std::fs::{self, File};
    use std::io::{BufRead, BufReader};
    use std::net::{IpAddr, Ipv6Addr, SocketAddr};
    use std::path::Path;

    use super::Caller;

    pub(super) fn caller(peer: SocketAddr, local: SocketAddr) -> Option<Caller> {
        // Programs that speak IPv6 connect to IPv4 addresses with sockets of their own kind, which are listed elsewhere.
        let v6 = |address: SocketAddr| match address.ip() {
            IpAddr::V4(v4) => SocketAddr::new(v4.to_ipv6_mapped().into(), address.port()),
            IpAddr::V6(_) => address,
        };
        let listed = |file: &str, peer, local| row(BufReader::new(File::open(file).ok()?), peer, local);
        let (uid, inode) =
            listed("/proc/net/tcp", peer, local).or_else(|| listed("/proc/net/tcp6", v6(peer), v6(local)))?;
        Some(Caller { pid: holder(inode), uid: Some(uid) })
    }

    /// Finds the user and the inode of the socket with these ends in the text of `/proc/net/tcp`. It can be long: a connection
    /// stays in it for a minute after its end.
    pub(super) fn row(table: impl BufRead, near: SocketAddr, far: SocketAddr) -> Option<(u32, u64)> {
        let (near, far) = (written(near), written(far));
        table.lines().map_while(Result::ok).skip(1).find_map(|line| {
            let mut words = line.split_ascii_whitespace().skip(1);
            if words.next()? != near || words.next()? != far {
                return None;
            }
            let (uid, inode) = (words.nth(4)?.parse().ok()?, words.nth(1)?.parse().ok()?);
            // A socket that its process has closed has no inode, and a user who is always root.
            (inode != 0).then_some((uid, inode))
        })
    }

    /// Writes an address as the table has it: 32 bits at a time, in the processor's order of bytes.
    fn written(address: SocketAddr) -> String {
        let word = |octets: &[u8]| {
            let octets = octets.try_into().unwrap_or_default();
            format!("{:08X}", u32::from_ne_bytes(octets))
        };
        let address_part: String = match address.ip() {
            IpAddr::V4(v4) => word(&v4.octets()),
            IpAddr::V6(v6) => Ipv6Addr::octets(&v6).chunks_exact(4).map(word).collect(),
        };
        format!("{address_part}:{:04X}", address.port())
    }

    /// Finds the process that has the socket open. The newest ones come first: a client has mostly just begun.
    fn holder(inode: u64) -> Option<u32> {
        let processes = fs::read_dir("/proc").ok()?.flatten();
        let mut pids: Vec<u32> =
            processes.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect();
        pids.sort_unstable_by_key(|pid| Reverse(*pid));
        let socket = format!("socket:[{inode}]");
        pids.into_iter().find(|pid| {
            let files = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
            files
                .map(|file| fs::read_link(file.path()))
                .any(|link| link.is_ok_and(|to| to == Path::new(&socket)))
        })
    }

    #[cfg(test)]
    mod tests {
        use std::net::{TcpListener, TcpStream};

        use super::*;

        fn at(text: &str) -> SocketAddr {
            text.parse().unwrap()
        }

        #[cfg(target_endian = "little")]
        #[test]
        fn the_row_of_the_other_end_is_found() {
            let table = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 31 1 0000000000000000 100 0 0 10 0
   1: 0100007F:1F90 0100007F:C350 01 00000000:00000000 00:00000000 00000000     0        0 32 1 0000000000000000 20 4 30 10 -1
   2: 0100007F:C350 0100007F:1F90 01 00000000:00000000 00:00000000 00000000  1001        0 33 1 0000000000000000 20 4 30 10 -1
   3: 0100007F:C351 0100007F:1F90 06 00000000:00000000 03:000000F0 00000000     0        0 0 3 0000000000000000
   4: 0100007F:C352 0100007F:1F90 01 00000000:00000000 00:00000000 00000000
";
            let local = at("127.0.0.1:8080");
            assert_eq!(row(table.as_bytes(), at("127.0.0.1:50000"), local), Some((1001, 33)));
            assert_eq!(row(table.as_bytes(), at("127.0.0.1:50001"), local), None, "closed: that is not root");
            assert_eq!(row(table.as_bytes(), at("127.0.0.1:50002"), local), None, "cut off");
            assert_eq!(row(table.as_bytes(), at("127.0.0.1:50003"), local), None);
            let table = "head
   0: 0000000000000000FFFF00000100007F:C350 0000000000000000FFFF00000100007F:1F90 01 0:0 0:0 0  7 0 9 1";
            assert_eq!(
                row(table.as_bytes(), at("[::ffff:127.0.0.1]:50000"), at("[::ffff:127.0.0.1]:8080")),
                Some((7, 9))
            );
        }

        #[test]
        fn this_process_finds_itself() {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let local = listener.local_addr().unwrap();
            let client = TcpStream::connect(local).unwrap();
            let peer = listener.accept().unwrap().1;
            let found = caller(peer, local).unwrap();
            assert_eq!(found.pid, Some(std::process::id()));
            assert_eq!(found.uid, Some(rustix::process::geteuid().as_raw()));
            drop(client);
            assert_eq!(caller(local, local), None);
        }

        #[test]
        fn a_client_with_a_socket_for_ipv6_is_found_too() {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let local = listener.local_addr().unwrap();
            let mapped = SocketAddr::new("::ffff:127.0.0.1".parse().unwrap(), local.port());
            // A system without IPv6 has no such clients.
            let Ok(_client) = TcpStream::connect(mapped) else { return };
            let peer = listener.accept().unwrap().1;
            assert_eq!(caller(peer, local).unwrap().pid, Some(std::process::id()));
        }
    }
}
