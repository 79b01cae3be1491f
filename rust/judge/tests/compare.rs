//! A comparison says what judging one by one says, by one snapshot and then by the other.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::{collections::BTreeSet, sync::LazyLock};

use judge::{
    Evidence, Snapshot, Verdict, authorize, compare,
    compare::Seen,
    decide,
    record::{Batch, Mode, OnRefusal, RouteRecord, SiteRecord},
};
use proptest::{collection::vec, prelude::*, sample::Index};

use crate::common::{Vector, batch, der, vectors};

/// All but those that are no certificates: nobody could say where one of them ends and the next begins.
static ALL: LazyLock<Vec<(Vector, Vec<Vec<u8>>)>> = LazyLock::new(|| {
    let readable = |(_, vector): &(String, Vector)| vector.reason.as_deref() != Some("malformed");
    let read = |(_, vector): (String, Vector)| {
        let chain = vector.chain.iter().map(|text| der(text)).collect();
        (vector, chain)
    };
    vectors().into_iter().filter(readable).map(read).collect()
});

/// Where certificates are required, where strangers pass, and where another environment's are.
fn sites() -> Vec<SiteRecord> {
    let route = |path: &str, client_certificate, roles: &[&str]| RouteRecord {
        path: path.into(),
        client_certificate,
        roles: roles.iter().map(|role| (*role).to_owned()).collect(),
        clients: vec![],
        upstream: Some(0),
    };
    let site = |host: &str, environment: &str| SiteRecord {
        name: host.into(),
        hosts: vec![host.into()],
        client_certificate: Mode::Required,
        on_refusal: OnRefusal::Page,
        environment: environment.into(),
        routes: vec![
            route("/all", Mode::Required, &[]),
            route("/few", Mode::Required, &["nobody"]),
            route("/free", Mode::Optional, &[]),
        ],
    };
    vec![site("a.example", ""), site("b.example", "test")]
}

/// The snapshot of a vector, and what some change makes of it.
fn changed(vector: &Vector, change: usize) -> [Snapshot; 2] {
    let whole = || Batch {
        sites: Some(sites()),
        ..batch(vector)
    };
    let mut after = whole();
    match change {
        0 => after
            .clients
            .iter_mut()
            .for_each(|one| one.suspended = true),
        1 => after
            .partners
            .iter_mut()
            .for_each(|one| one.suspended = true),
        2 => after.pins.iter_mut().for_each(|one| one.retired = true),
        3 => after.anchors.clear(),
        4 => after.members.clear(),
        5 => after
            .clients
            .iter_mut()
            .for_each(|one| one.name = format!("{} anew", one.name)),
        _ => after.sites.as_mut().unwrap().truncate(1),
    }
    [whole(), after].map(|batch| Snapshot::build([batch]).unwrap())
}

fn one_by_one(chain: &[&[u8]], seen: Seen<'_>, at: i64, snapshot: &Snapshot) -> Verdict {
    let verdict = decide(chain, at, snapshot);
    let Some(site) = seen.host.and_then(|host| snapshot.site_of(host)) else {
        return verdict;
    };
    let Ok(Some(route)) = site.route(seen.path) else {
        return verdict;
    };
    match authorize(&verdict, route) {
        Err(refusal) => Verdict::Refused(refusal),
        Ok(permit) => match permit.admission() {
            Some(admission) => Verdict::Admitted(admission.clone()),
            None => verdict,
        },
    }
}

fn shown(verdict: &Verdict) -> (bool, String) {
    match verdict {
        Verdict::Admitted(admission) => (true, admission.client().name.to_string()),
        Verdict::Refused(refusal) => (false, refusal.reason.code().into()),
    }
}

proptest! {
    #[test]
    fn is_what_judging_one_by_one_says(
        which in any::<Index>(),
        change in 0usize..7,
        others in vec((any::<Index>(), any::<Index>(), any::<Index>()), 0..20),
        threads in 0usize..5,
        known in any::<bool>(),
    ) {
        let (vector, chain) = which.get(&ALL);
        let [before, after] = changed(vector, change);
        let hosts = [Some("a.example"), Some("b.example"), Some("gone.example"), None];
        let paths = ["/all", "/few/x", "/free", "/none", "/../all"];
        let mut asked = vec![(chain, hosts[0], paths[0]); 2];
        asked.extend(others.iter().map(|(other, host, path)| (&other.get(&ALL).1, *host.get(&hosts), *path.get(&paths))));
        asked.extend(hosts.iter().flat_map(|host| paths.iter().map(move |path| (chain, *host, *path))));

        let joined: Vec<Vec<u8>> = asked.iter().map(|(chain, ..)| chain.concat()).collect();
        // Who signed a leaf is known from when it was let in.
        let signer = |chain: &[Vec<u8>]| {
            let chain: Vec<&[u8]> = chain.iter().map(Vec::as_slice).collect();
            match decide(&chain, vector.at, &before) {
                Verdict::Admitted(admission) => admission.signer().copied().filter(|_| known),
                Verdict::Refused(_) => None,
            }
        };
        let seen: Vec<Seen<'_>> = asked
            .iter()
            .zip(&joined)
            .map(|((sent, host, path), chain)| Seen { chain, signer: signer(sent), host: *host, path })
            .collect();
        let compared = compare(&before, &after, &seen, vector.at, threads);

        let mut otherwise = vec![];
        let mut unchanged = BTreeSet::new();
        for (position, (seen, (chain, ..))) in seen.iter().zip(&asked).enumerate() {
            let chain: Vec<&[u8]> = chain.iter().map(Vec::as_slice).collect();
            let said = [&before, &after].map(|snapshot| one_by_one(&chain, *seen, vector.at, snapshot));
            let [old, new] = said.each_ref().map(shown);
            if old != new {
                otherwise.push((position, format!("{said:?}")));
            } else if old.0 {
                unchanged.insert(old.1);
            }
        }
        let told: Vec<_> = compared.otherwise.iter().map(|(position, said)| (*position, format!("{said:?}"))).collect();
        prop_assert_eq!(told, otherwise);
        let kept: BTreeSet<String> = compared.unchanged.iter().map(|name| name.to_string()).collect();
        prop_assert_eq!(kept, unchanged);
    }
}

/// No such leaf is ever let in: it shows that nobody looks.
#[test]
fn what_is_said_to_have_signed_a_leaf_is_not_asked_again_and_nothing_else_is() {
    let mut believed = 0;
    for (vector, chain) in &*ALL {
        let [before, _] = changed(vector, 6);
        let sent: Vec<&[u8]> = chain.iter().map(Vec::as_slice).collect();
        let Verdict::Admitted(admission) = decide(&sent, vector.at, &before) else {
            continue;
        };
        if admission.evidence() != Evidence::Partner {
            continue;
        }
        let mut damaged = chain.clone();
        *damaged[0].last_mut().unwrap() ^= 1;
        let joined = damaged.concat();
        let said = |signer| {
            let seen = Seen {
                chain: &joined,
                signer,
                host: None,
                path: "/",
            };
            let compared = compare(&before, &before, &[seen], vector.at, 1);
            compared.unchanged.into_iter().next()
        };
        let name = &admission.client().name;
        assert_eq!(said(admission.signer().copied()).as_ref(), Some(name));
        assert_eq!(said(None), None);
        assert_eq!(said(Some([7; 32])), None);
        believed += 1;
    }
    assert!(believed > 0);
}
