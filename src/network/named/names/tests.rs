//! Who finds whom, by lists that the tests write; and what is said to questions of other kinds.

use hickory_server::net::xfer::Protocol;
use hickory_server::proto::op::{MessageType, OpCode, Query};
use hickory_server::server::Request;
use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::host::procfs;

/// Lists of networks in a directory of the test's own.
struct Lab(tempfile::TempDir);

impl Lab {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("a directory"))
    }

    /// Each container: its id, its name and its address.
    fn lists(&self, network: &str, dns: bool, containers: &[(&str, &str, &str)]) {
        let pid = std::process::id().cast_signed();
        let lease = |(id, name, ip): &(&str, &str, &str)| Lease {
            id: (*id).to_owned(),
            names: vec![(*name).to_owned()],
            interface: "eth0".to_owned(),
            ip: ip.parse().expect("an address"),
            ip6: None,
            port: 0,
            default_route: true,
            pid,
            start_time: procfs::start_time(pid).expect("this process"),
        };
        let leases = containers.iter().map(lease).collect();
        self.writes(network, &Leases { version: VERSION, holder: 1, dns, leases });
    }

    fn writes(&self, network: &str, list: &Leases) {
        let path = super::list(self.0.path(), network);
        std::fs::create_dir_all(path.parent().expect("its directory")).expect("a directory");
        state::write_replacing(&path, list, false).expect("a list");
    }

    fn names(&self, network: &str, way_out: bool) -> Names {
        Names::new(self.0.path(), network, way_out)
    }
}

fn question(name: &str, kind: RecordType) -> Vec<u8> {
    let mut message = Message::new(7, MessageType::Query, OpCode::Query);
    message.metadata.recursion_desired = true;
    let labels = name.split('.').filter(|label| !label.is_empty()).map(str::as_bytes);
    message.add_query(Query::query(Name::from_labels(labels).expect("a name"), kind));
    message.to_vec().expect("bytes")
}

fn request(client: &str, text: &[u8]) -> Option<Request> {
    let client = (client.parse::<IpAddr>().expect("an address"), 4321).into();
    Request::from_bytes(text.to_vec(), client, Protocol::Udp).ok()
}

fn judged(names: &mut Names, client: &str, name: &str, kind: RecordType) -> Verdict {
    let request = request(client, &question(name, kind)).expect("a question");
    names.judge(&request.request_info().expect("one"), request.as_slice())
}

/// The addresses, or what else becomes of the question.
fn asked(names: &mut Names, client: &str, name: &str) -> String {
    match judged(names, client, name, RecordType::A) {
        Verdict::Ask(query) => {
            let query = Message::from_vec(&query).expect("a question");
            format!("outside: {}", dns::name(&query.queries[0]))
        }
        Verdict::Answer(answer) if answer.metadata.response_code != ResponseCode::NoError => {
            format!("{:?}", answer.metadata.response_code)
        }
        Verdict::Answer(answer) => {
            assert!(answer.metadata.authoritative && answer.metadata.id == 7);
            answer.records.iter().map(|record| record.data.to_string()).collect::<Vec<_>>().join(" ")
        }
    }
}

#[test]
fn containers_are_found_in_every_network_of_who_asks_and_in_no_other() {
    let lab = Lab::new();
    lab.lists("a", true, &[("1", "alone", "10.1.0.2"), ("2", "both", "10.1.0.3")]);
    lab.lists("b", true, &[("2", "both", "10.2.0.3"), ("3", "db", "10.2.0.4")]);
    lab.lists("c", true, &[("4", "far", "10.3.0.2")]);
    let (mut a, mut b) = (lab.names("a", true), lab.names("b", true));
    assert_eq!(asked(&mut a, "10.1.0.3", "alone"), "10.1.0.2");
    assert_eq!(asked(&mut a, "10.1.0.3", "db"), "10.2.0.4");
    assert_eq!(asked(&mut a, "10.1.0.3", "DB.dns.podman"), "10.2.0.4");
    assert_eq!(asked(&mut a, "10.1.0.3", "both"), "10.1.0.3 10.2.0.3");
    assert_eq!(asked(&mut b, "10.2.0.3", "alone"), "10.1.0.2");
    // Who is in one alone, and who is nobody that is known.
    for client in ["10.1.0.2", "10.1.0.99"] {
        assert_eq!(asked(&mut a, client, "db"), "NXDomain", "{client}");
        assert_eq!(asked(&mut a, client, "both"), "10.1.0.3", "{client}");
    }
    assert_eq!(asked(&mut a, "10.1.0.3", "far"), "NXDomain");
    assert_eq!(asked(&mut b, "10.2.0.4", "alone"), "NXDomain");
}

#[test]
fn a_change_is_known_to_the_next_question() {
    let lab = Lab::new();
    lab.lists("a", true, &[("1", "one", "10.1.0.2")]);
    let mut names = lab.names("a", true);
    for round in 3..50 {
        assert_eq!(asked(&mut names, "10.1.0.2", "two"), "NXDomain");
        let two = format!("10.1.0.{round}");
        lab.lists("a", true, &[("1", "one", "10.1.0.2"), ("2", "two", &two)]);
        assert_eq!(asked(&mut names, "10.1.0.2", "two"), two);
        lab.lists("a", true, &[("1", "one", "10.1.0.2")]);
    }
}

#[test]
fn a_network_without_names_has_none_elsewhere_either() {
    let lab = Lab::new();
    lab.lists("a", true, &[("1", "one", "10.1.0.2")]);
    lab.lists("plain", false, &[("1", "one", "10.2.0.2"), ("2", "two", "10.2.0.3")]);
    assert_eq!(asked(&mut lab.names("a", true), "10.1.0.2", "two"), "NXDomain");
}

#[test]
fn a_container_that_has_ended_has_no_name_and_is_in_no_other_network_any_more() {
    let lab = Lab::new();
    lab.lists("a", true, &[("1", "one", "10.1.0.2")]);
    lab.lists("b", true, &[("1", "one", "10.2.0.2"), ("2", "two", "10.2.0.3")]);
    let mut list: Leases = state::read_versioned(&list(lab.0.path(), "b"), VERSION).expect("a list").expect("there");
    list.leases[0].start_time = 1;
    lab.writes("b", &list);
    assert_eq!(asked(&mut lab.names("a", true), "10.1.0.2", "two"), "NXDomain");
    assert_eq!(asked(&mut lab.names("b", true), "10.2.0.3", "one"), "NXDomain");
}

#[test]
fn other_names_are_asked_for_outside_where_there_is_a_way() {
    let lab = Lab::new();
    lab.lists("a", true, &[("1", "one", "10.1.0.2"), ("2", "two", "10.1.0.3")]);
    lab.lists("b", true, &[("1", "one", "10.2.0.2")]);
    let mut names = lab.names("a", true);
    assert_eq!(asked(&mut names, "10.1.0.2", "Www.Example"), "outside: www.example");
    assert_eq!(asked(&mut names, "10.1.0.2", "www"), "NXDomain");
    assert_eq!(asked(&mut names, "10.1.0.2", "x.dns.podman"), "NXDomain");
    // An internal one: of its other network's resolver, where it has one.
    let mut names = lab.names("a", false);
    assert_eq!(asked(&mut names, "10.1.0.2", "www.example"), "Refused");
    assert_eq!(asked(&mut names, "10.1.0.3", "www.example"), "NXDomain");
}

#[test]
fn what_goes_out_has_another_id_and_what_comes_back_its_own() {
    let lab = Lab::new();
    let mut names = lab.names("a", true);
    let text = question("www.example", RecordType::TXT);
    let request = request("10.1.0.2", &text).expect("a question");
    let asked = request.request_info().expect("one");
    let ids: Vec<Vec<u8>> = (0..8)
        .map(|_| {
            let Verdict::Ask(query) = names.judge(&asked, &text) else { panic!("asked") };
            assert_eq!(query[2..], text[2..]);
            let mut answer = Message::from_vec(&query).expect("a question").into_response();
            answer.metadata.authoritative = true;
            let heard = names.hear(&asked, answer).expect("an answer");
            assert_eq!((heard.metadata.id, heard.metadata.authoritative), (7, false));
            query[..2].to_vec()
        })
        .collect();
    assert!(ids.iter().any(|id| *id != ids[0]), "{ids:?}");
}

#[test]
fn an_address_has_its_names_and_a_name_has_nothing_else() {
    let lab = Lab::new();
    lab.lists("a", true, &[("1", "one", "10.1.0.2")]);
    let mut names = lab.names("a", true);
    let mut answers = |name: &str, kind: RecordType| {
        let Verdict::Answer(answer) = judged(&mut names, "10.1.0.2", name, kind) else { panic!("{name}") };
        assert_eq!(answer.metadata.response_code, ResponseCode::NoError, "{name}");
        answer.records.iter().map(|record| record.data.to_string()).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(answers("2.0.1.10.in-addr.arpa", RecordType::PTR).trim_end_matches('.'), "one");
    for kind in [RecordType::AAAA, RecordType::TXT, RecordType::MX, RecordType::HTTPS] {
        assert_eq!(answers("one", kind), "", "{kind:?}");
    }
    assert_eq!(reversed("2.0.1.10.in-addr.arpa"), Some([10, 1, 0, 2].into()));
    let six = "1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa";
    assert_eq!(reversed(six), Some("2001:db8::1".parse().expect("an address")));
    for other in ["ip6.arpa", "x.ip6.arpa", "1.10.in-addr.arpa", "example"] {
        assert_eq!(reversed(other), None, "{other}");
    }
}

proptest! {
    /// Whoever made it panic would take the names from all its neighbours.
    #[test]
    fn no_bytes_end_who_answers(bytes in vec(any::<u8>(), 0..200), at in 0_usize..40, name in "[a-z.]{0,30}") {
        let lab = Lab::new();
        lab.lists("a", true, &[("1", "one", "10.1.0.2")]);
        let mut names = lab.names("a", true);
        // A good one that is hurt somewhere.
        let mut hurt = question(&name, RecordType::A);
        for (offset, byte) in bytes.iter().take(4).enumerate() {
            let place = (at + offset * 7) % hurt.len();
            hurt[place] = *byte;
        }
        for text in [&bytes[..], &hurt[..], &hurt[..at.min(hurt.len())], &[&hurt[..], &bytes].concat()] {
            let Some(request) = request("10.1.0.2", text) else { continue };
            let Ok(asked) = request.request_info() else { continue };
            let verdict = names.judge(&asked, request.as_slice());
            if let (Verdict::Ask(_), Ok(answer)) = (verdict, Message::from_vec(&bytes)) {
                let _ = names.hear(&asked, answer);
            }
        }
    }
}
