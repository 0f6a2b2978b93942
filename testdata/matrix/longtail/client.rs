// Fetches https://git.test/echo by the means that it is told, none of which reads HTTPS_PROXY.
use std::{
    error::Error,
    io::{Read, Write},
    net::TcpStream,
    sync::Arc,
};

const URL: &str = "https://git.test/echo";

type Answer = Result<String, Box<dyn Error>>;

fn main() {
    let answer = match std::env::args().nth(1).as_deref() {
        Some("native-tls") => native(),
        Some("rustls-native-certs") => rustls(|roots| {
            for cert in rustls_native_certs::load_native_certs().certs {
                let _ = roots.add(cert);
            }
        }),
        Some("rustls-webpki-roots") => {
            rustls(|roots| roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned()))
        }
        Some("minreq") => minreq::get(URL)
            .send()
            .map_err(Into::into)
            .and_then(|answer| Ok(answer.as_str()?.to_owned())),
        Some("ureq") => ureq_native(),
        _ => Err("which?".into()),
    };
    match answer {
        Ok(text) => println!("{text}"),
        Err(err) => {
            eprintln!("error: {err}");
            std::process::exit(1)
        }
    }
}

fn over(mut stream: impl Read + Write) -> Answer {
    stream.write_all(b"GET /echo HTTP/1.0\r\nHost: git.test\r\n\r\n")?;
    let mut text = String::new();
    stream.read_to_string(&mut text)?;
    Ok(text)
}

fn native() -> Answer {
    over(
        native_tls::TlsConnector::new()?
            .connect("git.test", TcpStream::connect("git.test:443")?)?,
    )
}

fn rustls(fill: impl FnOnce(&mut rustls::RootCertStore)) -> Answer {
    let mut roots = rustls::RootCertStore::empty();
    fill(&mut roots);
    let config = rustls::ClientConfig::builder()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let connection = rustls::ClientConnection::new(Arc::new(config), "git.test".try_into()?)?;
    over(rustls::StreamOwned::new(
        connection,
        TcpStream::connect("git.test:443")?,
    ))
}

fn ureq_native() -> Answer {
    let agent = ureq::AgentBuilder::new()
        .tls_connector(Arc::new(native_tls::TlsConnector::new()?))
        .build();
    Ok(agent.get(URL).call()?.into_string()?)
}
