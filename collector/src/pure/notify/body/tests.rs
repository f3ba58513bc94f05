use super::*;
use std::sync::Arc;
use std::time::Duration;

use bellwether_model::config::Secret;
use bellwether_platform::tls::ClientFiles;

use crate::pure::notify::fingerprint::fingerprint;
use crate::pure::notify::plan::{Endpoint, GroupBy};

fn receiver(max_alerts: usize) -> ReceiverPlan {
    ReceiverPlan {
        name: "on \"call\"".into(),
        endpoint: Endpoint {
            url: Secret::text("http://h/"),
            authorization: None,
            tls: ClientFiles { ca: None, identity: None },
            way: None,
            timeout: Duration::from_secs(1),
        },
        secrets: Vec::new(),
        send_resolved: true,
        max_alerts,
        matchers: Vec::new(),
        group_by: GroupBy::Labels(vec!["job".to_owned()]),
        group_wait: Duration::ZERO,
        group_interval: Duration::ZERO,
        repeat_interval: Duration::ZERO,
        deadline: Duration::ZERO,
    }
}

fn alert(n: usize, ended: bool, text: &str) -> (u64, ToldAlert, Arc<Detail>) {
    let number = n.to_string();
    let labels = LabelSet::new([("alertname", "A"), ("job", "db"), ("n", &number)]).unwrap();
    let detail = Arc::new(Detail {
        labels: labels.clone(),
        annotations: [("summary", text), ("runbook", "r")]
            .map(|(name, text)| (name.to_owned(), text.to_owned()))
            .into(),
        generator_url: "http://c/graph".to_owned(),
    });
    let ends_at = ended.then_some(Timestamp(1_700_000_060_120));
    let told = ToldAlert {
        starts_at: Timestamp(1_700_000_000_005),
        ends_at,
        detail: Some(Arc::clone(&detail)),
    };
    (fingerprint(&labels), told, detail)
}

fn body(receiver: &ReceiverPlan, alerts: &[(u64, ToldAlert, Arc<Detail>)], more: usize) -> Body {
    let group = LabelSet::new([("job", "db")]).unwrap();
    let alerts: Vec<_> = alerts.iter().map(|(key, told, detail)| (*key, told, &**detail)).collect();
    webhook(receiver, &group, "http://c", (&alerts, more))
}

#[test]
fn a_body_is_alertmanagers_key_by_key() {
    let body = body(&receiver(0), &[alert(1, false, "a"), alert(2, true, "b")], 3);
    assert_eq!(body.held, 2);
    let keys =
        [fingerprint(&alert(1, false, "").2.labels), fingerprint(&alert(2, true, "").2.labels)];
    let expected = format!(
        r#"{{"receiver":"on \"call\"","status":"firing","alerts":[
{{"status":"firing","labels":{{"alertname":"A","job":"db","n":"1"}},
"annotations":{{"runbook":"r","summary":"a"}},"startsAt":"2023-11-14T22:13:20.005Z",
"endsAt":"0001-01-01T00:00:00Z","generatorURL":"http://c/graph","fingerprint":"{:016x}"}},
{{"status":"resolved","labels":{{"alertname":"A","job":"db","n":"2"}},
"annotations":{{"runbook":"r","summary":"b"}},"startsAt":"2023-11-14T22:13:20.005Z",
"endsAt":"2023-11-14T22:14:20.12Z","generatorURL":"http://c/graph","fingerprint":"{:016x}"}}],
"groupLabels":{{"job":"db"}},"commonLabels":{{"alertname":"A","job":"db"}},
"commonAnnotations":{{"runbook":"r"}},"externalURL":"http://c","version":"4",
"groupKey":"{{}}:{{job=\"db\"}}","truncatedAlerts":3}}"#,
        keys[0], keys[1]
    )
    .replace('\n', "");
    assert_eq!(String::from_utf8(body.bytes).unwrap(), expected);
}

#[test]
fn what_has_no_room_is_counted() {
    let alerts: Vec<_> = (0..10).map(|n| alert(n, n > 3, "x")).collect();
    let few = body(&receiver(4), &alerts, 0);
    let json: serde_json::Value = serde_json::from_slice(&few.bytes).unwrap();
    assert_eq!((few.held, &json["truncatedAlerts"]), (4, &6.into()));
    let long = "x".repeat(BODY_BYTES / 3);
    let alerts: Vec<_> = (0..10).map(|n| alert(n, true, &long)).collect();
    let long = body(&receiver(0), &alerts, 0);
    let json: serde_json::Value = serde_json::from_slice(&long.bytes).unwrap();
    assert_eq!((long.held, &json["truncatedAlerts"]), (2, &8.into()));
    assert_eq!(json["status"], "resolved");
    assert_eq!(json["alerts"].as_array().unwrap().len(), 2);
    // One always is there.
    let huge = "x".repeat(BODY_BYTES * 2);
    assert_eq!(body(&receiver(0), &[alert(1, true, &huge)], 0).held, 1);
    assert_eq!(body(&receiver(0), &[], 0).held, 0);
}

#[test]
fn the_largest_alert_has_a_body_that_can_be_read_again() {
    use bellwether_model::limit::LABEL_BYTES;
    // What JSON writes as six bytes, and what a group's key writes as seven.
    for letter in ["\u{1}", "\u{10}", "\u{7f}", "\"", "é"] {
        let long = |n: usize| format!("{n:02}{}", letter.repeat(LABEL_BYTES / letter.len() - 2));
        let texts: Vec<String> = (0..LABELS).map(long).collect();
        let labels = LabelSet::new(texts.iter().map(|text| (&**text, &**text))).unwrap();
        let annotations = [("summary".to_owned(), letter.repeat(ANNOTATION_BYTES / letter.len()))];
        let generator_url = String::new();
        let annotations = annotations.into();
        let detail = Detail { labels: labels.clone(), annotations, generator_url };
        let told = ToldAlert { starts_at: Timestamp(0), ends_at: None, detail: None };
        let body = webhook(&receiver(0), &labels, "http://c", (&[(7, &told, &detail)], 0));
        assert!(body.bytes.len() <= BODY_BYTES_MAX, "{letter:?}: {}", body.bytes.len());
        let json: serde_json::Value = serde_json::from_slice(&body.bytes).unwrap();
        let alert = &json["alerts"][0];
        assert_eq!((body.held, &alert["fingerprint"]), (1, &"0000000000000007".into()));
        assert_eq!(alert["labels"].as_object().unwrap().len(), LABELS, "{letter:?}");
        if body.is_brief {
            let key = json["groupKey"].as_str().unwrap();
            let hash = fnv1a(group_key(&receiver(0), &labels).bytes());
            assert!(key.ends_with(&format!("…{hash:016x}")) && key.len() <= BRIEF_BYTES, "{key}");
        }
    }
    assert_eq!(brief("ééé", 6), "ééé");
    assert_eq!(brief("éééééééééééé", 23).len(), 23);
}
