//! The program `opensipsunix SOCKET`: only calls [`opensips_mi::opensipsunix::main`].

fn main() -> std::process::ExitCode {
    opensips_mi::opensipsunix::main()
}
