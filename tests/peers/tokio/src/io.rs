//! tokio's side of the I/O benchmarks: `bench_tokio_io CASE PROCS PORT`. The cases are defined in tests/bench/io_server.c.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

async fn serve(mut connection: TcpStream) {
    let mut buffer = [0u8; 512];
    while let Ok(count) = connection.read(&mut buffer).await {
        if count == 0 || connection.write_all(&buffer[..count]).await.is_err() {
            return;
        }
    }
}

async fn echo(port: u16) {
    let listener = TcpListener::bind(("127.0.0.1", port)).await.expect("bind");
    loop {
        let (connection, _) = listener.accept().await.expect("accept");
        connection.set_nodelay(true).expect("nodelay");
        tokio::spawn(serve(connection));
    }
}

fn allow_all_descriptors() {
    let mut descriptors = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    unsafe {
        libc::getrlimit(libc::RLIMIT_NOFILE, &mut descriptors);
        descriptors.rlim_cur = descriptors.rlim_max;
        libc::setrlimit(libc::RLIMIT_NOFILE, &descriptors);
    }
}

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let numbers: Vec<usize> = arguments[2..].iter().map(|text| text.parse().expect("a number")).collect();
    allow_all_descriptors();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(numbers[0]).enable_all().build().expect("runtime");
    assert_eq!(arguments[1], "echo");
    runtime.block_on(async { tokio::spawn(echo(numbers[1] as u16)).await.expect("ended") });
}
