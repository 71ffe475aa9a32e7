//! The server.

fn main() -> std::process::ExitCode {
    opensips_mi::server::main()
}
