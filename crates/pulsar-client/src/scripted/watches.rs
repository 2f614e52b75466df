// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Watching which topics a namespace has.

use super::{Fake, Peer, connected, error, run};
use crate::client::Client;
use crate::error::Error;
use crate::proto::{
    Body, CommandConnected, CommandWatchTopicListSuccess, CommandWatchTopicUpdate, FeatureFlags, ServerError,
};
use crate::topic_watch::TopicWatch;

/// A connection with a broker that tells which topics come and go.
async fn accept(fake: &Fake) -> Peer {
    let mut peer = fake.accept_silently().await;
    peer.greeting().await;
    let Body::Connected(told) = connected() else { unreachable!("it is the answer to a greeting") };
    let flags = FeatureFlags { supports_topic_watchers: Some(true), ..FeatureFlags::default() };
    peer.say(Body::Connected(CommandConnected { feature_flags: Some(flags), ..told })).await;
    peer
}

/// Answers the next watch; gives its number.
async fn watched(peer: &mut Peer) -> u64 {
    let Body::WatchTopicList(asked) = peer.command().await else { panic!("no watch is asked for") };
    assert_eq!((&*asked.namespace, &*asked.topics_pattern), ("public/default", ".*"));
    let (request_id, watcher_id) = (asked.request_id, asked.watcher_id);
    peer.say(Body::WatchTopicListSuccess(CommandWatchTopicListSuccess { request_id, watcher_id })).await;
    watcher_id
}

async fn watch(client: &Client, fake: &Fake) -> (TopicWatch, Peer, u64) {
    let script = async {
        let mut peer = accept(fake).await;
        let id = watched(&mut peer).await;
        (peer, id)
    };
    let (watch, (peer, id)) = tokio::join!(client.watch_topics("public/default"), script);
    (watch.unwrap(), peer, id)
}

#[test]
fn news_of_a_namespace_are_told_and_after_a_cut_there_may_be_some() {
    run(async {
        let fake = Fake::start().await;
        let client = fake.client();
        let (mut watch, mut peer, id) = watch(&client, &fake).await;
        peer.say(Body::WatchTopicUpdate(CommandWatchTopicUpdate { watcher_id: id + 7 })).await;
        peer.say(Body::WatchTopicUpdate(CommandWatchTopicUpdate { watcher_id: id })).await;
        watch.changed().await.unwrap();
        // The one of another watch was not told.
        assert!(is_silent(&mut watch).await, "there are no more news");

        drop(peer);
        let script = async {
            let mut peer = accept(&fake).await;
            assert_ne!(watched(&mut peer).await, id);
            peer
        };
        let (changed, mut peer) = tokio::join!(watch.changed(), script);
        changed.unwrap();
        drop(watch);
        assert!(matches!(peer.command().await, Body::WatchTopicListClose(_)), "who does not watch says so");
    });
}

/// Whether nothing is told now.
async fn is_silent(watch: &mut TopicWatch) -> bool {
    tokio::select! {
        biased;
        _told = watch.changed() => false,
        () = std::future::ready(()) => true,
    }
}

#[test]
fn a_broker_that_does_not_tell_is_an_error() {
    run(async {
        let fake = Fake::start().await;
        let client = fake.client();
        let (watch, _peer) = tokio::join!(client.watch_topics("public/default"), fake.accept());
        assert!(matches!(watch, Err(Error::UnsupportedVersion(_))), "{watch:?}");

        let fake = Fake::start().await;
        let client = fake.client();
        let script = async {
            let mut peer = accept(&fake).await;
            let Body::WatchTopicList(asked) = peer.command().await else { panic!("no watch is asked for") };
            peer.say(error(asked.request_id, ServerError::NotAllowedError)).await;
            peer
        };
        let (watch, _peer) = tokio::join!(client.watch_topics("public/default"), script);
        assert!(matches!(watch, Err(Error::NotAllowed(_))), "{watch:?}");
    });
}
