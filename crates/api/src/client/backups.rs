// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Calls about backups.

use reqwest::Method;

use super::{Client, ClientError};
use crate::backup::{BackupEvent, BackupMade, BackupProgress, BackupRequest};

/// The longest line of the answer.
const MAX_LINE: usize = 1 << 20;

impl Client {
    /// Has a backup made, and hears how far it is. It ends without a trace when the call is dropped before.
    pub async fn backup(
        &self,
        asked: &BackupRequest,
        mut hear: impl FnMut(BackupProgress),
    ) -> Result<BackupMade, ClientError> {
        let mut answer = self.send(self.request(Method::POST, &["api", "v1", "backups"])?.json(asked)).await?;
        let mut text = Vec::new();
        while let Some(piece) = answer.chunk().await.map_err(|e| ClientError::broken(self.url(), &e))? {
            text.extend_from_slice(&piece);
            while let Some(end) = text.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = text.drain(..=end).collect();
                match serde_json::from_slice(&line) {
                    Ok(BackupEvent::Progress(progress)) => hear(progress),
                    Ok(BackupEvent::Done(made)) => return Ok(made),
                    Ok(BackupEvent::Failed(body)) => {
                        let status = body.known_code().map_or(500, |code| code.http_status());
                        return Err(ClientError::Server { status, body });
                    }
                    Err(e) => return Err(self.strange(&format!("a line that is no event of a backup: {e}"))),
                }
            }
            if text.len() > MAX_LINE {
                return Err(self.strange("a line without an end"));
            }
        }
        Err(ClientError::Unreachable {
            message: format!("the connection broke to the server at {}: the backup is not whole", self.url()),
            sent: true,
        })
    }

    fn strange(&self, what: &str) -> ClientError {
        ClientError::Protocol { message: format!("unexpected answer of {}: {what}", self.url()) }
    }
}
