// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Certificates: whose, and made out to whom.

use std::sync::Arc;

use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};

use super::run;
use crate::client::Client;
use crate::error::Error;
use crate::tls::TlsOptions;

/// A server whose certificate is made out to a name; it says nothing once the connection is secured.
async fn serve(listener: TcpListener, certificate: rcgen::CertifiedKey<rcgen::KeyPair>) {
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(certificate.signing_key.serialize_der()));
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.cert.der().clone()], key)
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        // Refused by the client, or ended at once.
        drop(acceptor.accept(stream).await);
    }
}

#[test]
fn a_certificate_must_be_made_out_to_the_host_unless_told_otherwise() {
    for (name, hostname_verification, trusted) in
        [("127.0.0.1", true, true), ("other.example", true, false), ("other.example", false, true)]
    {
        run(async {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let url = format!("pulsar+ssl://{}", listener.local_addr().unwrap());
            let certificate = rcgen::generate_simple_self_signed(vec![name.to_owned()]).unwrap();
            let file = tempfile::NamedTempFile::new().unwrap();
            std::fs::write(file.path(), certificate.cert.pem()).unwrap();
            let tls = TlsOptions { ca_file: Some(file.path().into()), hostname_verification };
            let client =
                Client::builder(url).tls(tls).operation_timeout(std::time::Duration::from_millis(1)).build().unwrap();
            let outcome = tokio::select! {
                outcome = client.partitions("t") => outcome,
                () = serve(listener, certificate) => Ok(0),
            };
            match outcome {
                // Got as far as the greeting.
                Err(Error::Disconnected(_) | Error::Io { .. }) => assert!(trusted, "{name} was trusted"),
                Err(Error::Tls(_)) => assert!(!trusted, "{name} was not trusted"),
                other => panic!("{other:?}"),
            }
        });
    }
}

#[test]
fn an_authority_that_is_not_told_is_not_trusted() {
    run(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("pulsar+ssl://{}", listener.local_addr().unwrap());
        let [trusted, used] =
            [(); 2].map(|()| rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).unwrap());
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), trusted.cert.pem()).unwrap();
        let tls = TlsOptions { ca_file: Some(file.path().into()), hostname_verification: false };
        let client = Client::builder(&url).tls(tls).build().unwrap();
        let outcome = tokio::select! {
            outcome = client.partitions("t") => outcome,
            () = serve(listener, used) => Ok(0),
        };
        assert!(matches!(outcome, Err(Error::Tls(_))), "{outcome:?}");
    });
}
