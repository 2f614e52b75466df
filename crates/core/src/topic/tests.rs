// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

use proptest::prelude::*;

use super::*;

fn refused(text: &str) -> String {
    let error = text.parse::<TopicRef>().expect_err(text);
    assert_eq!(error.code, ErrorCode::InvalidName);
    error.message
}

#[test]
fn each_part_is_read_from_its_place() {
    let all: TopicRef = "persistent://a/b/c@prod?group_id=g&partition=3".parse().unwrap();
    assert_eq!((&*all.topic.name, all.topic.cluster.as_str()), ("persistent://a/b/c", "prod"));
    assert_eq!(all.options, BTreeMap::from([("group_id".into(), "g".into()), ("partition".into(), "3".into())]));
    let hidden: TopicRef = "a%40b@x?sasl.jaas.config=k=v;%26@?".parse().unwrap();
    assert_eq!((&*hidden.topic.name, &*hidden.options["sasl.jaas.config"]), ("a@b", "k=v;&@?"));
    assert_eq!("in".parse::<Topic>().unwrap(), Topic::own("in"));
}

#[test]
fn a_bare_name_is_its_own_text() {
    for name in ["in", "a.b-c_d", "persistent://t/n/x", "non-persistent://t/n/x", "t/n/x"] {
        assert_eq!(Topic::own(name).to_string(), name);
        assert_eq!(TopicRef::from(name).to_string(), name);
    }
}

#[test]
fn the_same_addresses_are_the_same_cluster() {
    let topic = |text: &str| text.parse::<Topic>().unwrap();
    assert_eq!(topic("t@kafka://b:2,A:1"), topic("t@kafka://a:1,b:2,a:1"));
    assert_eq!(topic("t@pulsar://h"), topic("t@pulsar://h:6650"));
    assert_eq!(topic("t@pulsar+ssl://[::1]").cluster.as_str(), "pulsar+ssl://[::1]:6651");
    assert_ne!(topic("t@pulsar://h"), topic("t@pulsar+ssl://h:6650"));
    assert_ne!(topic("t@kafka://h:1"), topic("u@kafka://h:1"));
}

#[test]
fn what_is_not_a_reference_is_refused_with_its_place() {
    assert_eq!(refused("a@"), "topic 'a@' names no cluster after '@'");
    assert_eq!(refused("@prod"), "topic '@prod' names no topic before '@' or '?'");
    assert_eq!(refused("?a=b"), "topic '?…' names no topic before '@' or '?'");
    let not_written = |number| {
        format!(
            "topic 'a?…' has an option, number {number}, that is not written as name=value; '%26' stands for '&' in a value"
        )
    };
    assert_eq!(refused("a?"), not_written(1));
    assert_eq!(refused("a?x=1&y"), not_written(2));
    assert_eq!(refused("a?x=1&x=2"), "topic 'a?…' gives the option 'x' twice");
    assert_eq!(refused("a?=1"), "topic 'a?…': the name of a topic's option has 0 bytes, not 1 to 255");
    assert_eq!(refused("a?x y=1"), "topic 'a?…': the name of a topic's option 'x y' holds ' '");
    assert!(refused("a%4").contains("'%25' stands for '%'"));
    assert!(refused("a%zz").contains("'%25' stands for '%'"));
    assert!(refused("a%ff").contains("not UTF-8"));
    assert_eq!(refused("a@b/c"), "topic 'a@b/c': cluster name 'b/c' holds '/'");
    assert!(refused("a@http://h:1").contains("'http://' is none of kafka://, pulsar://, pulsar+ssl://"));
    assert!(refused("a@kafka://h").contains("address 'h' has no port: write host:port"));
    assert!(refused("a@kafka://h:0").contains("not 1 to 65535"));
    assert!(refused("a@kafka://h:1,").contains("an address is empty"));
    assert!(refused("a@kafka://:1").contains("has no host"));
    assert!(refused("a@kafka://u@h:1").contains("holds '@'"));
    let error = "a?x=1".parse::<Topic>().unwrap_err();
    assert!(error.message.contains("has the option 'x'"), "{error}");
}

#[test]
fn no_name_leads_out_of_a_folder() {
    for good in ["in", "t/n/x", "persistent://t/n/x", "non-persistent://t/n-1/x.y_z"] {
        check_topic_name("topic", good).unwrap();
    }
    let long = format!("t/n/{}", "x".repeat(252));
    for bad in [
        "",
        "a/b",
        "../x",
        "../../x",
        "t/../x",
        "t/n/..",
        "t/n/.x",
        "/t/n/x",
        "t//x",
        "t/n/",
        "t/n/x/y",
        "t/n/x\0",
        "t\\n\\x",
        "file://t/n/x",
        "persistent://t/n",
        "persistent://",
        "persistent:///n/x",
        "a://t/n/x",
        "t/n/a b",
        "t/n/-x",
        &long,
    ] {
        let error = check_topic_name("topic", bad).expect_err(bad);
        assert_eq!(error.code, ErrorCode::InvalidName);
    }
}

#[test]
fn json_has_the_text_and_takes_an_object() {
    let full: TopicRef = "a@prod?x=1".parse().unwrap();
    assert_eq!(serde_json::to_string(&full).unwrap(), r#""a@prod?x=1""#);
    let read = |json: &str| serde_json::from_str::<TopicRef>(json);
    assert_eq!(read(r#""a@prod?x=1""#).unwrap(), full);
    assert_eq!(read(r#"{"name": "a", "cluster": "prod", "options": {"x": "1"}}"#).unwrap(), full);
    assert_eq!(read(r#"{"name": "a@b"}"#).unwrap(), TopicRef::from("a@b"), "an object's name is no reference");
    assert!(read(r#"{"name": "a", "custer": "prod"}"#).unwrap_err().to_string().contains("custer"));
    assert!(
        read(r#"{"name": "a", "cluster": "a b"}"#).unwrap_err().to_string().contains("cluster name 'a b' holds ' '")
    );
    assert!(read("3").unwrap_err().to_string().contains("a topic as text"));
    assert!(serde_json::from_str::<Topic>(r#"{"name": "a", "options": {"x": "1"}}"#).is_err());
    let keys = BTreeMap::from([(Topic::own("a"), 1)]);
    assert_eq!(serde_json::from_str::<BTreeMap<Topic, i32>>(r#"{"a": 1}"#).unwrap(), keys);
}

/// The bytes that positions are stored with.
#[test]
fn the_persisted_form_stays_readable() {
    let golden: [(&str, &[u8]); 3] = [
        ("in", b"\x00\x02in"),
        ("in@prod", b"\x04prod\x02in"),
        ("t/n/x@kafka://b:2,a:1", b"\x0fkafka://a:1,b:2\x05t/n/x"),
    ];
    for (text, bytes) in golden {
        let topic: Topic = text.parse().unwrap();
        assert_eq!(postcard::to_extend(&topic, Vec::new()).unwrap(), bytes, "{text}");
        assert_eq!(postcard::from_bytes::<Topic>(bytes).unwrap(), topic);
    }
    let reference: TopicRef = "in?x=1".parse().unwrap();
    let bytes = b"\x00\x02in\x01\x01x\x011";
    assert_eq!(postcard::to_extend(&reference, Vec::new()).unwrap(), bytes);
    assert_eq!(postcard::from_bytes::<TopicRef>(bytes).unwrap(), reference);
}

#[test]
fn only_a_topic_of_the_own_cluster_has_an_own_name() {
    assert_eq!(Topic::own("in").own_name().unwrap(), "in");
    let error = "in@prod".parse::<Topic>().unwrap().own_name().unwrap_err();
    assert_eq!(error.code, ErrorCode::ClusterUnknown);
    assert_eq!(error.message, "topic 'in@prod' is of the cluster 'prod', which this server does not know");
}

fn clusters() -> impl Strategy<Value = Cluster> {
    let text = prop_oneof![
        Just(String::new()),
        "[a-z0-9_][a-zA-Z0-9._-]{0,8}",
        "(kafka|pulsar|pulsar[+]ssl)://[a-zA-Z0-9.-]{1,5}:[1-9][0-9]{0,3}(,[a-z]{1,3}:[1-9]){0,3}",
        Just("kafka://[fe80::1]:9092".to_owned()),
    ];
    text.prop_map(|text| text.parse().unwrap())
}

proptest! {
    #[test]
    fn text_gives_the_reference_back(
        name in "\\PC{1,12}|.{1,4}|[@?%&= \n]{1,5}",
        cluster in clusters(),
        options in prop::collection::btree_map("[a-zA-Z0-9._-]{1,6}", "\\PC{0,8}|[@?%&= \n]{0,5}", 0..4),
    ) {
        let reference = TopicRef { topic: Topic { cluster, name: name.into() }, options };
        let text = reference.to_string();
        prop_assert_eq!(&text.parse::<TopicRef>().unwrap(), &reference);
        prop_assert!(!text.contains(char::is_whitespace));
        let json = serde_json::to_string(&reference).unwrap();
        prop_assert_eq!(&serde_json::from_str::<TopicRef>(&json).unwrap(), &reference);
        let bytes = postcard::to_extend(&reference, Vec::new()).unwrap();
        prop_assert_eq!(&postcard::from_bytes::<TopicRef>(&bytes).unwrap(), &reference);
    }

    #[test]
    fn any_text_is_read_or_refused(text in "\\PC*") {
        if let Ok(read) = text.parse::<TopicRef>() {
            prop_assert_eq!(read.to_string().parse::<TopicRef>().unwrap(), read);
        }
    }
}
