//! The names of this machine, as far as they are known without a name server.

use std::net::IpAddr;

use nix::unistd::gethostname;

/// Where names of machines are listed.
const HOSTS: &str = "/etc/hosts";

/// The machine's own name, and the names that `/etc/hosts` has beside it or for an address of loopback.
#[must_use]
pub fn names() -> Vec<String> {
    let own = gethostname().ok().and_then(|name| name.into_string().ok());
    let hosts = std::fs::read(HOSTS).unwrap_or_default();
    listed(own, &String::from_utf8_lossy(&hosts))
}

fn listed(own: Option<String>, hosts: &str) -> Vec<String> {
    let mut names: Vec<String> = own.iter().cloned().collect();
    for line in hosts.lines() {
        let mut words = line.split('#').next().unwrap_or_default().split_whitespace();
        let Some(Ok(address)) = words.next().map(str::parse::<IpAddr>) else { continue };
        let line: Vec<&str> = words.collect();
        let is_own = |name: &&str| own.as_ref().is_some_and(|own| own.eq_ignore_ascii_case(name));
        if address.to_canonical().is_loopback() || line.iter().any(is_own) {
            names.extend(line.into_iter().map(String::from));
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_the_machine_are_its_own_and_those_of_loopback() {
        let hosts = "127.0.0.1 localhost\n127.0.1.1\tpbx.example.net PBX # 127.0.0.1 no\n::1 ip6-loopback\n\
                     192.0.2.1 pbx.example.org pbx\n192.0.2.2 other pbx2\n#127.0.0.1 no\n127.1 no\nno pbx\n";
        let wanted = ["pbx", "localhost", "pbx.example.net", "PBX", "ip6-loopback", "pbx.example.org", "pbx"];
        assert_eq!(listed(Some(String::from("pbx")), hosts), wanted);
        assert_eq!(listed(None, "192.0.2.1 x\n"), [""; 0]);
        let own = gethostname().unwrap().into_string().unwrap();
        assert!(names().contains(&own));
    }
}
