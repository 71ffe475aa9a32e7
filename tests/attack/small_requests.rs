//! Small requests that are expensive: the most expensive one of each command over each transport, with full tables, and
//! patterns that take long for each key. Another client asks beside them.

use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::thread;
use std::time::{Duration, Instant};

use crate::support::heavy::{self, DATAGRAM_ROOM, Fill, Heavy, json};
use crate::support::{
    Client, DEADLINE, FifoClient, HELP, Http, Server, Setup, VERSION, free_tcp_port, free_udp_port,
    longest_stretch, post, shown, wait_for,
};

/// What lies in the tables.
const FULL: Fill = Fill { aors: 20_000, contacts: 1500, keys: 20, subscribers: 1000 };

/// The most processor time that a process may take before the other client has its reply. The server's own limit is
/// 50 ms; a debug build takes ten times as long, and a client that this machine lets wait counts too.
const LIMIT: Duration = Duration::from_millis(500);

/// Longest request over a FIFO or HTTP, in bytes.
const STREAM_ROOM: usize = 1 << 20;

/// How long the longest of these requests may take in all. A debug build compares all keys in a minute.
const PATIENCE: Duration = Duration::from_secs(300);

fn worker(server: &Server, kind: &str) -> i32 {
    let find = || server.ps().into_iter().find(|one| one.kind.starts_with(kind) && one.pid > 0);
    wait_for("the process", find).pid
}

/// The longest stretch so far, and the request that it was for.
struct Longest {
    transport: &'static str,
    stretch: Duration,
    request: String,
}

impl Longest {
    fn new(transport: &'static str) -> Longest {
        Longest { transport, stretch: Duration::ZERO, request: String::new() }
    }

    fn note(&mut self, stretch: Option<Duration>, request: &[u8]) {
        let request = shown(&request[..request.len().min(120)]).replace('\n', " ");
        let Some(stretch) = stretch else { return };
        assert!(stretch < LIMIT, "{}: {stretch:?} for {request}", self.transport);
        if stretch > self.stretch {
            (self.stretch, self.request) = (stretch, request);
        }
    }

    fn print(&self) {
        println!("small_requests: {}: at most {:?}, for {}", self.transport, self.stretch, self.request);
    }
}

/// Sends a request and waits for its reply; one without a reply is followed by one that has one.
fn ask_patiently(client: &Client, request: &[u8]) {
    client.send(request).unwrap();
    if request.starts_with(b"[{") && !request.windows(5).any(|part| part == b"\"id\":") {
        client.send(VERSION).unwrap();
    }
    client.receive(PATIENCE).unwrap_or_else(|error| panic!("{error} for {}", shown(&request[..100])));
}

fn over_datagrams(transport: &'static str, server: &Server) {
    heavy::fill(server, FULL);
    let pid = worker(server, "MI Datagram");
    let mut longest = Longest::new(transport);
    let rows = heavy::heaviest(DATAGRAM_ROOM);
    let batches = heavy::batches(DATAGRAM_ROOM).into_iter().map(String::into_bytes);
    for request in rows.iter().flat_map(Heavy::requests).chain(batches) {
        let (client, neighbour) = (server.client(), server.client());
        let ask = || assert!(neighbour.ask(VERSION).starts_with(b"200 OK\n"));
        longest.note(longest_stretch(pid, || ask_patiently(&client, &request), ask), &request);
    }
    longest.print();
}

#[test]
fn no_request_over_a_unix_socket_holds_up_another_client() {
    let server = heavy::modules(Setup::unix()).start();
    over_datagrams("UNIX", &server);
    server.stop_clean(&[]);
}

#[test]
fn no_request_over_udp_holds_up_another_client() {
    let host = IpAddr::V4(Ipv4Addr::LOCALHOST);
    let address = SocketAddr::from((host, free_udp_port(host)));
    let server = heavy::modules(Setup::udp(&format!("udp:{address}"), address)).start();
    over_datagrams("UDP", &server);
    server.stop_clean(&[]);
}

#[test]
fn no_request_over_a_fifo_holds_up_another_client() {
    let server = heavy::modules(Setup::unix().fifo()).start();
    heavy::fill(&server, FULL);
    let folder = server.setup.folder.path();
    let pid = worker(&server, "MI FIFO");
    let mut longest = Longest::new("FIFO");
    let (client, mut neighbour) = (server.fifo_client("client"), server.fifo_client("neighbour"));
    let text = |row: &Heavy| {
        row.text.as_ref().map(|lines| format!(":{}:{{R}}\n{}\n\n", row.command, lines.trim_end()))
    };
    let json = |row: &Heavy| row.json_request().map(|request| format!(":{{R}}:{request}"));
    let batches = heavy::batches(STREAM_ROOM).into_iter().map(|batch| format!(":{{R}}:{batch}"));
    let rows = heavy::heaviest(STREAM_ROOM);
    for request in rows.iter().flat_map(|row| [text(row), json(row)]).flatten().chain(batches) {
        // Whole, so that the neighbour's request does not come into its middle.
        client.send(&request);
        let receive = |client: &FifoClient| {
            client.try_receive(PATIENCE).unwrap_or_else(|| panic!("no reply to {}", &request[..100]));
        };
        let ask = || assert!(neighbour.ask(folder, ":help:{R}\nps\n\n").starts_with(b"200 OK\n"));
        longest.note(longest_stretch(pid, || receive(&client), ask), request.as_bytes());
    }
    longest.print();
    server.stop_clean(&[]);
}

fn xml(method: &str, params: &str) -> Vec<u8> {
    let body = format!("<methodCall><methodName>{method}</methodName><params>{params}</params></methodCall>");
    post("/xmlrpc", "text/xml", body.as_bytes())
}

/// Calls by XML that are long or of many parts.
fn xml_calls() -> Vec<Vec<u8>> {
    let room = STREAM_ROOM - 500;
    let filled = |part: &str| part.repeat(room / part.len());
    let value = |text: &str| format!("<param><value><string>{text}</string></value></param>");
    let call = |method: &str| {
        format!(
            "<value><struct><member><name>methodName</name><value>{method}</value></member>\
             <member><name>params</name><value><array><data></data></array></value></member></struct></value>"
        )
    };
    let calls = |method: &str| {
        let calls = call(method).repeat(1024);
        xml("system.multicall", &format!("<param><value><array><data>{calls}</data></array></value></param>"))
    };
    vec![
        calls("ul_dump"),
        calls("ul_flush"),
        calls("which"),
        xml("get_statistics", &filled(&value("all"))),
        xml("get_statistics", &filled("<param><value/></param>")),
        xml("help", &value(&filled("&lt;"))),
        xml("help", &value(&filled("&#60;"))),
        xml("help", &value(&filled("<!---->"))),
        xml("help", &value(&filled("<![CDATA[]]>"))),
        xml("help", &filled("<?a?>")),
        xml("help", &filled("<param>")),
        xml("help", &format!("<param><value><base64>{}</base64></value></param>", filled("AAAA"))),
        xml("ul_dump", ""),
    ]
}

#[test]
fn no_request_over_http_holds_up_another_client() {
    let host = IpAddr::V4(Ipv4Addr::LOCALHOST);
    let address = SocketAddr::from((host, free_tcp_port(host)));
    let modules = ["httpd", "mi_http", "mi_json", "mi_xmlrpc_ng"];
    let setup = modules.into_iter().fold(heavy::modules(Setup::unix()), Setup::module);
    let setup = setup.param_of("mi_xmlrpc_ng", "http_root", "\"xmlrpc\"");
    let server = setup.param_of("httpd", "port", &address.port().to_string()).start();
    heavy::fill(&server, FULL);
    let pid = worker(&server, "HTTPD");
    let mut longest = Longest::new("HTTP");
    let rows = heavy::heaviest(STREAM_ROOM);
    let json_post = |body: String| post("/mi", "application/json", body.as_bytes());
    let posts = rows.iter().filter_map(Heavy::json_request).chain(heavy::batches(STREAM_ROOM)).map(json_post);
    let get = |path: &str| format!("GET /json/{path} HTTP/1.1\r\nHost: localhost\r\n\r\n").into_bytes();
    let gets = ["ul_dump".to_owned(), format!("get_statistics?params={}", "all,".repeat(15_000))];
    let gets = gets.iter().map(|path| get(path));
    let pwd = json_post(json("pwd", "[]"));
    for request in posts.chain(gets).chain(xml_calls()) {
        let mut client = Http::connect(address);
        let mut neighbour = Http::connect(address);
        let ask = || assert_eq!(neighbour.ask(&pwd).status, 200);
        let ask_patiently = || {
            let start = Instant::now();
            client.send(&request);
            // Each read has a deadline of its own.
            while let Err(error) = client.reply() {
                let is_late = matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut);
                assert!(is_late && start.elapsed() < PATIENCE, "{error} for {}", shown(&request[..100]));
            }
        };
        longest.note(longest_stretch(pid, ask_patiently, ask), &request);
    }
    longest.print();
    server.stop_clean(&[]);
}

/// The datagrams that once took three workers half a minute.
#[test]
fn patterns_that_take_long_leave_all_workers_to_others() {
    let request = |glob: String| json("cache_remove_chunk", &format!("[\"{glob}\"]"));
    let longest_allowed = request(format!("*{}b*", "a".repeat(1000)));
    let batch = format!("[{}]", vec![longest_allowed; 55].join(","));
    let as_it_was = format!("[{}]", vec![request(format!("*{}b", "?".repeat(9_900))); 6].join(","));
    for (what, batch, keys) in [("as it was", as_it_was, 900), ("as long as may be", batch, 20)] {
        assert!((50_000..DATAGRAM_ROOM).contains(&batch.len()), "{}", batch.len());
        let server = heavy::modules(Setup::unix().workers(3)).start();
        heavy::fill(&server, Fill { aors: 0, contacts: 0, keys, subscribers: 0 });
        let mut slowest = Duration::ZERO;
        let start = Instant::now();
        thread::scope(|scope| {
            let asked: Vec<_> = (0..3)
                .map(|_| {
                    scope.spawn(|| {
                        let client = server.client();
                        client.send(batch.as_bytes()).unwrap();
                        client.receive(PATIENCE).expect("a reply")
                    })
                })
                .collect();
            let client = server.client();
            while slowest.is_zero() || asked.iter().any(|asked| !asked.is_finished()) {
                let start = Instant::now();
                assert!(client.ask(HELP).starts_with(b"200 OK\n"));
                slowest = slowest.max(start.elapsed());
            }
        });
        println!(
            "small_requests: patterns {what}: {:?}, another client's slowest reply {slowest:?}",
            start.elapsed()
        );
        assert!(slowest < DEADLINE / 2, "{slowest:?}");
        server.stop_clean(&[]);
    }
}

/// More clients with long requests than a worker takes: each has one reply.
#[test]
fn each_of_many_long_requests_has_one_reply() {
    let server = heavy::modules(Setup::unix()).start();
    heavy::fill(&server, Fill { aors: 0, contacts: 0, keys: 2, subscribers: 0 });
    let request = json("cache_remove_chunk", &format!("[\"*{}b*\"]", "a".repeat(1000)));
    let clients: Vec<Client> = (0..100).map(|_| server.client()).collect();
    clients.iter().for_each(|client| client.send(request.as_bytes()).unwrap());
    let replies: Vec<String> = clients
        .iter()
        .map(|client| String::from_utf8(client.receive(PATIENCE).expect("a reply")).unwrap())
        .collect();
    let count = |part: &str| replies.iter().filter(|reply| reply.contains(part)).count();
    let (done, refused) = (count(r#""result":"OK","id":1"#), count("Too many long requests"));
    println!("small_requests: of 100 long requests {done} were done and {refused} refused");
    assert!(done >= 64 && done + refused == 100, "{done} {refused}");
    assert!(clients.iter().all(|client| !client.has_more()));
    server.stop_clean(&[]);
}
