// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! TLS: which certificates are trusted, and whether the host's name must be in them.

use std::path::PathBuf;
use std::sync::Arc;

use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::client::WebPkiServerVerifier;
use tokio_rustls::rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use tokio_rustls::rustls::crypto::{CryptoProvider, ring};
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use tokio_rustls::rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error as TlsError, RootCertStore, SignatureScheme,
};

use crate::error::{Error, Result};

/// How connections of `pulsar+ssl://` are secured.
#[derive(Clone, Debug)]
pub struct TlsOptions {
    /// A PEM file with the certificates of the authorities to trust, instead of those of the system.
    pub ca_file: Option<PathBuf>,
    /// Whether the certificate must be made out to the host that the client connects to. Without it, any server with a
    /// certificate of a trusted authority is taken for the broker.
    pub hostname_verification: bool,
}

impl Default for TlsOptions {
    /// Trusts the system's authorities, and verifies the name.
    fn default() -> TlsOptions {
        TlsOptions { ca_file: None, hostname_verification: true }
    }
}

impl TlsOptions {
    pub(crate) fn connector(&self) -> Result<TlsConnector> {
        Ok(TlsConnector::from(Arc::new(self.client_config()?)))
    }

    /// The same for connections of other protocols to the cluster, such as its REST interface.
    ///
    /// # Errors
    ///
    /// [`Error::Tls`] if the certificates cannot be read.
    pub fn client_config(&self) -> Result<ClientConfig> {
        let roots = Arc::new(self.roots()?);
        let provider = Arc::new(ring::default_provider());
        let failed = |error: TlsError| Error::Tls(error.to_string());
        let builder = ClientConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()
            .map_err(failed)?;
        let config = if self.hostname_verification {
            builder.with_root_certificates(roots).with_no_client_auth()
        } else {
            let inner = WebPkiServerVerifier::builder_with_provider(roots, provider.clone())
                .build()
                .map_err(|error| Error::Tls(error.to_string()))?;
            let verifier = Arc::new(AnyName { inner, provider });
            builder.dangerous().with_custom_certificate_verifier(verifier).with_no_client_auth()
        };
        Ok(config)
    }

    fn roots(&self) -> Result<RootCertStore> {
        let mut roots = RootCertStore::empty();
        match &self.ca_file {
            Some(path) => {
                let failed = |error: String| Error::Tls(format!("{}: {error}", path.display()));
                let certificates = CertificateDer::pem_file_iter(path).map_err(|error| failed(error.to_string()))?;
                for certificate in certificates {
                    let certificate = certificate.map_err(|error| failed(error.to_string()))?;
                    roots.add(certificate).map_err(|error| failed(error.to_string()))?;
                }
                if roots.is_empty() {
                    return Err(failed("it has no certificate".into()));
                }
            }
            None => {
                let found = rustls_native_certs::load_native_certs();
                roots.add_parsable_certificates(found.certs);
                if roots.is_empty() {
                    return Err(Error::Tls("the system has no certificates of authorities".into()));
                }
            }
        }
        Ok(roots)
    }
}

/// Verifies everything but the name.
#[derive(Debug)]
struct AnyName {
    inner: Arc<WebPkiServerVerifier>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for AnyName {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, TlsError> {
        match self.inner.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now) {
            // The verifier looks at the name last: everything else was found right.
            Err(TlsError::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) => Ok(ServerCertVerified::assertion()),
            result => result,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        self.inner.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        self.inner.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
