//! Lines of `decide --batch`: shape, knobs, and lines that are wrong.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use serde_json::{Value, json};

use crate::common;

fn ask(line: &Value) -> Value {
    serde_json::from_slice(&judge::decide_batch(line.to_string().as_bytes())).unwrap()
}

fn question() -> Value {
    let vector = common::good();
    json!({"id": "q", "chain": vector.chain, "trusted": [vector.snapshot["authorities"][0]["certificate"]], "at": vector.at})
}

fn with(key: &str, value: Value) -> Value {
    let mut question = question();
    question[key] = value;
    question
}

#[test]
fn a_good_one_is_admitted() {
    let expected = json!({"id": "q", "verdict": "admitted", "reason": null, "certificate": null, "detail": null});
    assert_eq!(ask(&question()), expected);
    assert_eq!(
        ask(&with("eku", json!("clientAuth")))["verdict"],
        "admitted"
    );
    assert_eq!(
        ask(&with("max_chain_depth", json!(0)))["verdict"],
        "admitted"
    );
}

#[test]
fn a_refusal_says_why_and_which() {
    let answer = ask(&with("eku", json!("serverAuth")));
    assert_eq!(
        (
            &answer["verdict"],
            &answer["reason"],
            &answer["certificate"]
        ),
        (&json!("refused"), &json!("not_for_client_auth"), &json!(0))
    );
    let answer = ask(&with("trusted", json!([])));
    assert_eq!(
        (&answer["reason"], &answer["certificate"]),
        (&json!("unknown_issuer"), &json!(0))
    );
    assert_eq!(ask(&with("chain", json!([])))["reason"], "no_certificate");
}

#[test]
fn a_wrong_line_is_answered() {
    for (line, id) in [
        (with("chain", json!("x")), json!("q")),
        (with("at", json!("now")), json!("q")),
        (with("eku", json!("codeSigning")), json!("q")),
        (with("surprise", json!(1)), json!("q")),
        (with("chain", json!(["no PEM"])), json!("q")),
        (with("crls", json!(question()["chain"])), json!("q")),
        (
            with(
                "trusted",
                json!(["-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n"]),
            ),
            json!("q"),
        ),
        (with("max_chain_depth", json!(-1)), json!("q")),
        (json!({"id": 7}), json!(7)),
        (json!([1]), json!(null)),
    ] {
        let answer = ask(&line);
        assert_eq!(
            (&answer["reason"], &answer["id"]),
            (&json!("malformed"), &id),
            "{line}"
        );
        assert!(
            answer["detail"].as_str().unwrap().ends_with('.'),
            "{answer}"
        );
    }
    for line in [
        &b""[..],
        b"{",
        b"\xff",
        b"[[[[[[[[",
        "{\"id\":".repeat(1000).as_bytes(),
    ] {
        let answer: Value = serde_json::from_slice(&judge::decide_batch(line)).unwrap();
        assert_eq!(
            (&answer["reason"], &answer["id"]),
            (&json!("malformed"), &json!(null))
        );
    }
}

#[test]
fn every_question_is_answered_as_written() {
    let file = std::path::PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("../../tests/vectors/questions.jsonl");
    let mut wrong = Vec::new();
    for line in std::fs::read_to_string(file).unwrap().lines() {
        let vector: Value = serde_json::from_str(line).unwrap();
        let mut answer = ask(&vector["question"]);
        let detail = answer.as_object_mut().unwrap().remove("detail");
        if answer != vector["answer"] {
            wrong.push(format!(
                "{answer}, wanted {} ({detail:?})",
                vector["answer"]
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
