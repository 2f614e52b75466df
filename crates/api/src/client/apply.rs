// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Applying descriptions.

use reqwest::Method;
use reqwest::header::CONTENT_TYPE;

use super::{Client, ClientError};
use crate::function::Applied;

/// A description that is to be applied.
#[derive(Debug, Clone)]
pub struct ApplyRequest {
    /// A config.yaml.
    pub config: Vec<u8>,
    /// What to run: `sha256:<digest>` of an uploaded artifact, or a path on the server.
    pub archive: String,
    /// Only look what would change.
    pub dry_run: bool,
}

impl Client {
    /// Makes a function what its description says, or looks what that would change.
    pub async fn apply(&self, apply: ApplyRequest) -> Result<Applied, ClientError> {
        let ApplyRequest { config, archive, dry_run } = apply;
        let mut request = self.request(Method::POST, &["api", "v1", "apply"])?.query(&[("archive", archive)]);
        if dry_run {
            request = request.query(&[("dry_run", true)]);
        }
        let request = self.until_up_or_back(request);
        self.json(request.header(CONTENT_TYPE, "application/yaml").body(config)).await
    }
}
