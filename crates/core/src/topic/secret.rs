// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Options whose values nobody is shown.

use std::collections::BTreeMap;

use super::TopicRef;

/// What is shown instead of the value of a secret option.
pub const MASK: &str = "********";

/// What names of secret options hold.
const WITHIN: [&str; 4] = ["password", "passphrase", "secret", "jaas"];

/// Whether the value of an option is a secret, by its name: one that is new with a client is more likely one of these than not.
pub fn is_secret(option: &str) -> bool {
    let name = option.to_ascii_lowercase();
    let is_token = name.contains("token") && !name.ends_with("url");
    let is_key = name.ends_with("key.pem") || name.ends_with("private.key");
    WITHIN.iter().any(|part| name.contains(part)) || is_token || is_key || name == "sasl.oauthbearer.config"
}

/// Options as they are shown.
pub fn masked(options: &BTreeMap<String, String>) -> BTreeMap<&str, &str> {
    let value = |name: &str, value| if is_secret(name) { MASK } else { value };
    options.iter().map(|(name, given)| (&**name, value(name, given))).collect()
}

impl TopicRef {
    /// Gives secrets that are masked their values: those that the topic had before, or another one of its cluster.
    pub fn unmask<'a>(&mut self, before: impl Iterator<Item = &'a TopicRef> + Clone) {
        for (name, value) in self.options.iter_mut().filter(|(name, value)| *value == MASK && is_secret(name)) {
            let had = |of: &'a TopicRef| of.options.get(name);
            let same = before.clone().filter(|of| of.topic == self.topic).find_map(had);
            let cluster = || before.clone().filter(|of| of.topic.cluster == self.topic.cluster).find_map(had);
            if let Some(known) = same.or_else(cluster) {
                value.clone_from(known);
            }
        }
    }

    /// The first secret that is masked.
    pub(super) fn masked_secret(&self) -> Option<&str> {
        self.options.iter().find(|(name, value)| *value == MASK && is_secret(name)).map(|(name, _)| name.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_secrets_are_told_from_others() {
        for secret in [
            "sasl.password",
            "ssl.key.password",
            "ssl.key.pem",
            "ssl.keystore.password",
            "sasl.oauthbearer.client.secret",
            "sasl.oauthbearer.client.credentials.client.secret",
            "sasl.oauthbearer.assertion.private.key.pem",
            "sasl.oauthbearer.assertion.private.key.passphrase",
            "sasl.oauthbearer.config",
            "sasl.jaas.config",
            "SASL.Password",
            "token",
        ] {
            assert!(is_secret(secret), "{secret}");
        }
        for open in [
            "group_id",
            "sasl.username",
            "sasl.mechanism",
            "ssl.ca.location",
            "ssl.ca.pem",
            "ssl.certificate.pem",
            "ssl.key.location",
            "sasl.oauthbearer.token.endpoint.url",
            "sasl.oauthbearer.client.id",
        ] {
            assert!(!is_secret(open), "{open}");
        }
    }

    #[test]
    fn a_secret_is_shown_to_nobody_and_is_in_what_is_stored() {
        let text = "a@kafka://h:1?sasl.password=p%26w&sasl.username=u";
        let named: TopicRef = text.parse().unwrap();
        for shown in [named.to_string(), format!("{named:?}"), format!("{:?}", vec![named.clone()])] {
            assert!(!shown.contains("p&w") && !shown.contains("p%26w") && shown.contains(MASK), "{shown}");
        }
        let stored = serde_json::to_string(&named).unwrap();
        assert_eq!(stored, format!("\"{text}\""));
        assert_eq!(serde_json::from_str::<TopicRef>(&stored).unwrap(), named);
        let compact = postcard::to_allocvec(&named).unwrap();
        assert_eq!(postcard::from_bytes::<TopicRef>(&compact).unwrap(), named);
    }

    #[test]
    fn a_text_that_is_wrong_is_told_without_its_options() {
        for wrong in ["a@k?sasl.password=geheim%", "a@k?sasl.password=ge&heim", "a@k?sasl.password=geheim&x y=1"] {
            let error = wrong.parse::<TopicRef>().unwrap_err();
            assert!(!error.message.contains("heim"), "{}", error.message);
        }
    }

    #[test]
    fn the_mask_stands_for_what_the_topic_had_or_else_its_cluster() {
        let read = |text: &str| text.parse::<TopicRef>().unwrap();
        let before = [read("a@k?sasl.password=1"), read("b@k?sasl.password=2"), read("c@l?sasl.password=3")];
        let unmasked = |text: &str| {
            let mut named = read(text);
            named.unmask(before.iter());
            named.options["sasl.password"].clone()
        };
        assert_eq!(unmasked("b@k?sasl.password=********"), "2");
        assert_eq!(unmasked("new@k?sasl.password=********"), "1");
        assert_eq!(unmasked("new@k?sasl.password=mine"), "mine");
        let mut elsewhere = read("a@m?sasl.password=********");
        elsewhere.unmask(before.iter());
        assert!(elsewhere.check("topic").unwrap_err().message.contains("'sasl.password' of topic 'a@m' is the mask"));
    }
}
