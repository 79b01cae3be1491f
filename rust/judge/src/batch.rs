//! Questions as JSON lines, each with trust of its own: `mutualgate decide --batch`, for conformance suites.
//!
//! The paths are built and judged by the very code that the gate runs. What differs is what a snapshot has and a line has
//! not: there are no clients, so a good path is an admission, and revocation comes as lists.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use x509_parser::pem::Pem;

use crate::{
    Reason,
    anchor::{Anchor, Anchors},
    certificate::Certificate,
    crl::{self, Crl},
    fault::Fault,
    path::{self, Question},
    record::Admits,
    rules::Usage,
    signature::Checks,
};

/// Longest line read, in bytes.
const MOST_LINE_BYTES: usize = 8 * 1024 * 1024;
/// Certificates of a line that are looked at, at most.
const MOST_CERTIFICATES: usize = 256;
/// Signature checks for one line, at most; suites have chains that need some dozens.
const SIGNATURES: usize = 100;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    #[serde(default)]
    id: Value,
    chain: Vec<String>,
    #[serde(default)]
    intermediates: Vec<String>,
    #[serde(default)]
    trusted: Vec<String>,
    #[serde(default)]
    crls: Vec<String>,
    at: i64,
    #[serde(default)]
    max_chain_depth: Option<u32>,
    #[serde(default)]
    eku: Eku,
}

#[derive(Deserialize, Default)]
enum Eku {
    #[default]
    #[serde(rename = "clientAuth")]
    Client,
    #[serde(rename = "serverAuth")]
    Server,
}

#[derive(Serialize)]
struct Answer {
    id: Value,
    verdict: &'static str,
    reason: Option<&'static str>,
    certificate: Option<usize>,
    detail: Option<String>,
}

/// Answers one line with one line, without the newline. A line that cannot be understood is answered, too: refused, malformed.
///
/// `certificate` counts through `chain` and on through those `intermediates` that can be read.
pub fn decide_batch(line: &[u8]) -> Vec<u8> {
    let (id, verdict) = match parse(line) {
        Ok(mut line) => (std::mem::take(&mut line.id), answer(&line)),
        Err((id, detail)) => (id, Err(malformed(detail))),
    };
    let answer = match verdict {
        Ok(()) => Answer {
            id,
            verdict: "admitted",
            reason: None,
            certificate: None,
            detail: None,
        },
        Err(fault) => Answer {
            id,
            verdict: "refused",
            reason: Some(fault.reason.code()),
            certificate: fault.certificate,
            detail: Some(fault.detail),
        },
    };
    serde_json::to_vec(&answer).unwrap_or_default()
}

/// The error is the line's id, if it has one, and a sentence.
fn parse(line: &[u8]) -> Result<Line, (Value, String)> {
    if line.len() > MOST_LINE_BYTES {
        return Err((
            Value::Null,
            format!(
                "The line has {} bytes; at most {MOST_LINE_BYTES} are read.",
                line.len()
            ),
        ));
    }
    serde_json::from_slice(line).map_err(|error| {
        let id = serde_json::from_slice::<Value>(line)
            .ok()
            .and_then(|mut line| line.get_mut("id").map(Value::take));
        (
            id.unwrap_or_default(),
            format!("The line is not a question: {error}."),
        )
    })
}

fn answer(line: &Line) -> Result<(), Fault> {
    let chain = decode("chain", &line.chain)?;
    let intermediates = decode("intermediates", &line.intermediates)?;
    let trusted = decode("trusted", &line.trusted)?;
    let lists = decode("crls", &line.crls)?;
    if chain.len() + intermediates.len() + trusted.len() > MOST_CERTIFICATES {
        return Err(malformed(format!(
            "The line has more than {MOST_CERTIFICATES} certificates."
        )));
    }
    if chain.is_empty() {
        return Err(Fault {
            reason: Reason::NoCertificate,
            certificate: None,
            detail: "No certificate was given.".into(),
        });
    }
    let certificates = read(&chain, &intermediates)?;
    let certificates: Vec<&Certificate<'_>> = certificates.iter().collect();
    let anchors = anchors(&trusted)?;
    let crls = lists
        .iter()
        .enumerate()
        .map(|(index, der)| {
            Crl::parse(der).map_err(|fault| malformed(format!("crls[{index}] {fault}.")))
        })
        .collect::<Result<Vec<_>, _>>()?;

    let question = Question {
        certificates: &certificates,
        at: line.at,
        usage: match line.eku {
            Eku::Client => Usage::Client,
            Eku::Server => Usage::Server,
        },
        longest: line
            .max_chain_depth
            .map_or(MOST_CERTIFICATES, |depth| depth as usize),
        signatures: SIGNATURES,
        checks: &Checks::default(),
        anchors: &|name| anchors.named(name),
        ends_at: &|_| false,
        further: &|path, certificates| crl::check(path, certificates, &crls, line.at),
    };
    path::build(&question)
        .map(|_| ())
        .map_err(|none| none.fault)
}

/// The leaf and all that may help. An intermediate that cannot be read cannot help, so it is passed over.
fn read<'a>(
    chain: &'a [Vec<u8>],
    intermediates: &'a [Vec<u8>],
) -> Result<Vec<Certificate<'a>>, Fault> {
    let mut certificates = Vec::with_capacity(chain.len() + intermediates.len());
    for (index, der) in chain.iter().enumerate() {
        certificates.push(
            Certificate::parse(der).map_err(|fault| Fault::of(Reason::Malformed, index, fault))?,
        );
    }
    certificates.extend(
        intermediates
            .iter()
            .filter_map(|der| Certificate::parse(der).ok()),
    );
    Ok(certificates)
}

fn anchors(trusted: &[Vec<u8>]) -> Result<Anchors, Fault> {
    let mut anchors = Anchors::default();
    for (index, der) in trusted.iter().enumerate() {
        let name = format!("trusted[{index}]");
        let anchor = Anchor::read(index as u32, &name, der, Admits::Issued, None)
            .map_err(|fault| malformed(format!("{name} {fault}.")))?;
        anchors.insert(anchor);
    }
    Ok(anchors)
}

/// The DER of each PEM text, which has to hold exactly one block (RFC 7468 5 and 6).
fn decode(field: &str, texts: &[String]) -> Result<Vec<Vec<u8>>, Fault> {
    let label = if field == "crls" {
        "X509 CRL"
    } else {
        "CERTIFICATE"
    };
    let decode = |(index, text): (usize, &String)| {
        let mut blocks = Pem::iter_from_buffer(text.as_bytes());
        match (blocks.next(), blocks.next()) {
            (Some(Ok(pem)), None) if pem.label == label => Ok(pem.contents),
            _ => Err(malformed(format!(
                "{field}[{index}] is not one PEM block of a {label}."
            ))),
        }
    };
    texts.iter().enumerate().map(decode).collect()
}

fn malformed(detail: String) -> Fault {
    Fault {
        reason: Reason::Malformed,
        certificate: None,
        detail,
    }
}
