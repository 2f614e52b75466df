// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! The port of REST, which serves gRPC too: one address of a server is enough for every client.
//!
//! A request over HTTP/2 whose content type is that of gRPC is a call, whatever it asks for; every other one is for REST. Each is
//! checked, bounded and refused as on a port of its own.

use std::future::Future;
use std::net::SocketAddr;

use axum::body::Body;
use axum::http::{Request, Response};
use fnstream_core::Error;
use tokio_util::either::Either;

use crate::grpc::{self, Grpc};
use crate::net::Interface;
use crate::rest::Rest;

/// Both interfaces.
pub(crate) struct OnePort {
    rest: Rest,
    grpc: Grpc,
}

impl OnePort {
    pub(crate) fn new(rest: Rest, grpc: Grpc) -> Self {
        OnePort { rest, grpc }
    }
}

impl Interface for OnePort {
    /// Whether it is a call of gRPC.
    type Form = bool;
    type Body = Body;
    const HTTP_2_ONLY: bool = false;

    fn answer(
        &self,
        request: Request<Body>,
        client: SocketAddr,
    ) -> impl Future<Output = Response<Body>> + Send + 'static {
        if grpc::is_call(&request) {
            let answer = self.grpc.answer(request, client);
            Either::Left(async { answer.await.map(Body::new) })
        } else {
            Either::Right(self.rest.answer(request, client))
        }
    }

    fn form<B>(request: &Request<B>) -> bool {
        grpc::is_call(request)
    }

    fn refuse(is_call: &bool, error: Error) -> Response<Body> {
        if *is_call { Grpc::refuse(&(), error).map(Body::new) } else { Rest::refuse(error) }
    }
}
