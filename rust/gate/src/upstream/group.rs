//! An upstream: its servers, and which of them gets a request.

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use arc_swap::ArcSwap;

use super::{
    choose::{self, Asker},
    endpoint::{Endpoint, Target, now_ms},
};
use crate::{
    counters::ServerReport,
    settings::{
        Timeouts,
        upstream::{
            Address, Balance, Ejection, Health, Protocol, Retries, SendProxy, Upstream as Setting,
        },
    },
};

/// An upstream. Its places outlive a change of the settings that leaves them as they were, and so do their connections.
#[derive(Debug)]
pub(crate) struct Upstream {
    /// The name, or the address of the only server, for access lines.
    pub(crate) label: Box<str>,
    pub(super) waits: Waits,
    balance: Balance,
    /// The only place there can be: nothing is chosen then, and nothing counted for the choice.
    pub(super) only: Option<Arc<Endpoint>>,
    members: ArcSwap<Vec<Member>>,
    next: AtomicUsize,
    pub(super) retries: Retries,
    pub(super) ejection: Ejection,
    pub(super) slow_start: Duration,
    pub(super) resolve: Duration,
    pub(super) health: Option<Health>,
    /// Whether each connection begins with a PROXY header, and belongs to one client's.
    pub(crate) send_proxy: Option<SendProxy>,
    budget: Mutex<Budget>,
    setting: Setting,
}

/// What is left for requests that are sent again, in hundredths of one.
#[derive(Debug)]
struct Budget {
    left: u64,
    requests: u64,
    at: u64,
}

/// How long an upstream is waited for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Waits {
    pub(super) connect: Duration,
    pub(super) response: Duration,
    pub(super) total: Option<Duration>,
}

/// A place that can be chosen, unless it drains.
#[derive(Debug, Clone)]
struct Member {
    endpoint: Arc<Endpoint>,
    drain: bool,
}

/// The places that a request was sent to before, in vain.
#[derive(Debug, Default)]
pub(super) struct Tried {
    ids: [usize; Tried::MOST],
    count: usize,
}

impl Tried {
    /// The most places that a request is sent to.
    pub(super) const MOST: usize = 4;

    pub(super) fn push(&mut self, endpoint: &Endpoint) {
        if let Some(place) = self.ids.get_mut(self.count) {
            *place = endpoint.id;
            self.count += 1;
        }
    }

    fn contains(&self, endpoint: &Endpoint) -> bool {
        self.ids[..self.count].contains(&endpoint.id)
    }

    pub(super) fn is_full(&self) -> bool {
        self.count == Tried::MOST
    }
}

impl Upstream {
    /// Makes one, keeping the places of `old`, which is the upstream of the same name before.
    pub(crate) fn new(setting: &Setting, timeouts: &Timeouts, old: Option<&Upstream>) -> Upstream {
        let before = old.map(|old| old.members.load_full()).unwrap_or_default();
        let members: Vec<Member> = (setting.servers.iter())
            .flat_map(|server| {
                let known: Vec<Arc<Endpoint>> = (before.iter())
                    .map(|member| &member.endpoint)
                    .filter(|endpoint| endpoint.is_of(setting, &server.address))
                    .cloned()
                    .collect();
                let endpoints = if known.is_empty() {
                    vec![Endpoint::of_server(setting, &server.address)]
                } else {
                    known
                };
                endpoints.into_iter().map(|endpoint| Member {
                    endpoint,
                    drain: server.drain,
                })
            })
            .collect();
        let only = match &members[..] {
            // Whether the only one there is is well changes nothing, unless it is asked.
            [one]
                if !one.drain
                    && setting.health.is_none()
                    && matches!(one.endpoint.server, Address::Unix(_))
                        | matches!(&one.endpoint.server, Address::Tcp { host, .. } if is_ip(host)) =>
            {
                Some(one.endpoint.clone())
            }
            _ => None,
        };
        Upstream {
            label: setting.name.as_str().into(),
            waits: Waits {
                connect: setting.waits.connect.unwrap_or(timeouts.connect),
                response: setting.waits.response.unwrap_or(timeouts.response),
                total: setting.waits.total,
            },
            balance: setting.balance,
            only,
            members: ArcSwap::from_pointee(members),
            next: AtomicUsize::new(choose::draw(usize::MAX)),
            retries: setting.retries,
            ejection: setting.ejection,
            slow_start: setting.slow_start,
            resolve: setting.resolve,
            health: setting.health.clone(),
            send_proxy: setting.send_proxy,
            budget: Mutex::new(Budget {
                left: u64::from(setting.retries.per_second) * 100,
                requests: 0,
                at: now_ms(),
            }),
            setting: setting.clone(),
        }
    }

    /// Closes the connections to places that `next`, which takes its place, does not have.
    pub(crate) fn leave_to(&self, next: Option<&Upstream>) {
        let kept = next
            .map(|next| next.members.load_full())
            .unwrap_or_default();
        for member in self.members.load().iter() {
            if !(kept.iter()).any(|other| Arc::ptr_eq(&other.endpoint, &member.endpoint)) {
                member.endpoint.retire();
            }
        }
    }

    /// Its servers, as they are now.
    pub(crate) fn report(&self) -> Vec<ServerReport> {
        let now = now_ms();
        (self.members.load().iter())
            .map(|member| ServerReport {
                upstream: self.label.to_string(),
                server: member.endpoint.label(),
                address: member.endpoint.target.to_string(),
                state: if member.drain {
                    "drain"
                } else if !member.endpoint.is_well() {
                    "down"
                } else if member.endpoint.is_ejected(now) {
                    "ejected"
                } else {
                    "up"
                },
                retries: member.endpoint.retries(),
                ejections: member.endpoint.ejections(),
                requests: member.endpoint.requests(),
                failures: member.endpoint.failures(),
            })
            .collect()
    }

    /// The place for a request of `asker` that was at `tried` before; `None` if there is no other.
    pub(super) fn choose(&self, asker: Asker, tried: &Tried) -> Option<Arc<Endpoint>> {
        let members = self.members.load();
        let now = now_ms();
        let usable = || {
            (members.iter())
                .filter(|member| {
                    !member.drain
                        && member.endpoint.is_usable(now)
                        && !tried.contains(&member.endpoint)
                })
                .map(|member| &member.endpoint)
        };
        let count = usable().count();
        if count == 0 {
            return None;
        }
        let nth = |at: usize| usable().nth(at % count);
        match self.balance {
            Balance::RoundRobin => {
                let at = self.next.fetch_add(1, Relaxed);
                // Who comes back lets some pass to the next one.
                nth(at).map(|endpoint| {
                    let share = endpoint.share(now, self.slow_start);
                    if share < 100 && choose::draw(100) >= share {
                        nth(at + 1).unwrap_or(endpoint)
                    } else {
                        endpoint
                    }
                })
            }
            Balance::LeastRequests => {
                // Two different ones, drawn by lot.
                let first = choose::draw(count);
                let second = first + 1 + choose::draw(count - 1);
                [nth(first), nth(second)]
                    .into_iter()
                    .flatten()
                    .min_by_key(|endpoint| {
                        let share = endpoint.share(now, self.slow_start);
                        endpoint.active() * 100 / share + (100 - share) / 10
                    })
            }
            Balance::ClientHash => {
                let asker = asker.hash();
                usable().max_by_key(|endpoint| choose::fit(asker, endpoint.hash))
            }
        }
        .cloned()
    }

    /// Whether it speaks something that the gate does not read.
    pub(crate) fn is_stream(&self) -> bool {
        self.setting.protocol == Protocol::Stream
    }

    /// Notes that a server did not answer: too often in a row, and it is left out, but never too many of them.
    pub(super) fn failed(&self, endpoint: &Endpoint) {
        let failing = endpoint.count_failure();
        let now = now_ms();
        if self.ejection.failures == 0
            || failing < self.ejection.failures
            || endpoint.is_ejected(now)
        {
            return;
        }
        let members = self.members.load();
        let out = (members.iter())
            .filter(|member| member.endpoint.is_ejected(now))
            .count();
        let most = members.len() * self.ejection.most_percent as usize / 100;
        if out < most.min(members.len().saturating_sub(1)) {
            endpoint.eject(self.ejection.time, now);
        }
    }

    /// Takes one from the budget of requests that are sent again.
    pub(super) fn may_retry(&self) -> bool {
        let requests = (self.members.load().iter())
            .map(|member| member.endpoint.requests())
            .sum::<u64>();
        let mut budget = self.budget.lock().unwrap_or_else(PoisonError::into_inner);
        let now = now_ms();
        let more = requests.saturating_sub(budget.requests) * u64::from(self.retries.percent)
            + (now - budget.at) * u64::from(self.retries.per_second) / 10;
        // What was not used for long does not make a storm.
        let most =
            u64::from(self.retries.percent) * 100 + u64::from(self.retries.per_second) * 10 * 100;
        budget.left = (budget.left + more).min(most);
        (budget.requests, budget.at) = (requests, now);
        let may = budget.left >= 100;
        if may {
            budget.left -= 100;
        }
        may
    }

    /// In how many seconds it is worth to ask again, where no server can be used.
    pub(super) fn retry_after(&self) -> u32 {
        let now = now_ms();
        let soonest = (self.members.load().iter())
            .map(|member| member.endpoint.out_until().saturating_sub(now))
            .filter(|left| *left > 0)
            .min();
        let check = (self.health.as_ref()).map(|health| health.interval.as_millis() as u64);
        let wait = soonest.or(check).unwrap_or(10_000);
        u32::try_from(wait.div_ceil(1000))
            .unwrap_or(60)
            .clamp(1, 60)
    }

    /// All its places.
    pub(super) fn endpoints(&self) -> Vec<Arc<Endpoint>> {
        (self.members.load().iter())
            .map(|member| member.endpoint.clone())
            .collect()
    }

    /// Servers whose addresses have to be looked up.
    pub(super) fn named_servers(&self) -> impl Iterator<Item = &Address> {
        (self.setting.servers.iter())
            .map(|server| &server.address)
            .filter(|address| matches!(address, Address::Tcp { host, .. } if !is_ip(host)))
    }

    /// Takes the addresses of a server, as they are now. What is there already stays, with its connections; the
    /// connections to what is not any more end when they are next free. None at all changes nothing.
    pub(super) fn resolved(&self, server: &Address, addresses: impl Iterator<Item = SocketAddr>) {
        let mut targets: Vec<Target> = Vec::new();
        for address in addresses {
            if !targets.contains(&Target::Ip(address)) {
                targets.push(Target::Ip(address));
            }
        }
        let before = self.members.load_full();
        let of_server: Vec<&Member> = (before.iter())
            .filter(|member| member.endpoint.server == *server)
            .collect();
        let same = of_server.len() == targets.len()
            && (of_server.iter()).all(|member| targets.contains(&member.endpoint.target));
        let Some(first) = of_server.first().filter(|_| !same && !targets.is_empty()) else {
            return;
        };
        let is_first_answer = matches!(first.endpoint.target, Target::Name(..));
        let now = targets.into_iter().map(|target| {
            let known = of_server
                .iter()
                .find(|member| member.endpoint.target == target);
            let endpoint = known.map(|member| member.endpoint.clone());
            Member {
                drain: first.drain,
                endpoint: endpoint.unwrap_or_else(|| {
                    let endpoint = Endpoint::new(&self.setting, server, target);
                    if !is_first_answer && !self.slow_start.is_zero() {
                        endpoint.begin_slowly();
                    }
                    endpoint
                }),
            }
        });
        let mut after: Vec<Member> = now.collect();
        after.extend(
            (before.iter())
                .filter(|member| member.endpoint.server != *server)
                .cloned(),
        );
        let after = Arc::new(after);
        self.members.store(after.clone());
        for member in before.iter() {
            if !(after.iter()).any(|other| Arc::ptr_eq(&other.endpoint, &member.endpoint)) {
                member.endpoint.retire();
            }
        }
    }
}

fn is_ip(host: &str) -> bool {
    host.parse::<std::net::IpAddr>().is_ok()
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::settings::upstream::{Protocol, Server};

    const NAME: &str = "app.test";

    pub(in crate::upstream) fn upstream() -> Upstream {
        let server = |address| Server {
            address,
            drain: false,
        };
        let setting = Setting {
            name: "app".into(),
            servers: vec![
                server(named()),
                server(Address::Unix("/run/app.sock".into())),
            ],
            balance: Balance::RoundRobin,
            protocol: Protocol::Http1,
            tls: None,
            waits: Default::default(),
            retries: Retries {
                most: 1,
                percent: 20,
                per_second: 3,
            },
            ejection: Ejection {
                failures: 2,
                time: Duration::from_secs(30),
                most_percent: 50,
                status: 0,
            },
            slow_start: Duration::ZERO,
            resolve: Duration::from_secs(10),
            health: None,
            send_proxy: None,
        };
        Upstream::new(&setting, &timeouts(), None)
    }

    fn timeouts() -> Timeouts {
        let second = Duration::from_secs(1);
        Timeouts {
            handshake: second,
            header: second,
            idle: second,
            connect: second,
            response: second,
            stall: second,
            slow: second,
            stream_idle: second,
        }
    }

    fn named() -> Address {
        Address::Tcp {
            host: NAME.into(),
            port: 80,
            tls: false,
        }
    }

    fn resolve(upstream: &Upstream, hosts: &[u8]) {
        let addresses = hosts
            .iter()
            .map(|host| SocketAddr::from(([192, 0, 2, *host], 80)));
        upstream.resolved(&named(), addresses);
    }

    fn targets(upstream: &Upstream) -> Vec<String> {
        let all = upstream.endpoints();
        all.iter()
            .map(|endpoint| endpoint.target.to_string())
            .collect()
    }

    #[test]
    fn a_name_leads_to_all_its_addresses_and_to_those_of_the_last_good_answer() {
        let upstream = upstream();
        assert_eq!(targets(&upstream), ["app.test:80", "/run/app.sock"]);
        resolve(&upstream, &[1, 2, 2]);
        assert_eq!(
            targets(&upstream),
            ["192.0.2.1:80", "192.0.2.2:80", "/run/app.sock"]
        );
        let before = upstream.endpoints();
        resolve(&upstream, &[]);
        assert_eq!(targets(&upstream).len(), 3);
        resolve(&upstream, &[2, 3]);
        assert_eq!(
            targets(&upstream),
            ["192.0.2.2:80", "192.0.2.3:80", "/run/app.sock"]
        );
        assert!(before[0].is_retired() && !before[1].is_retired());
        assert!(Arc::ptr_eq(&before[1], &upstream.endpoints()[0]));
    }

    #[test]
    fn a_server_that_fails_is_left_out_for_longer_each_time_and_never_too_many() {
        let upstream = upstream();
        resolve(&upstream, &[1, 2]);
        let all = upstream.endpoints();
        let fail = |endpoint: &Endpoint| (0..2).for_each(|_| upstream.failed(endpoint));
        upstream.failed(&all[0]);
        all[0].succeeded();
        upstream.failed(&all[0]);
        assert!(!all[0].is_ejected(now_ms()));
        fail(&all[0]);
        assert!(all[0].is_ejected(now_ms()) && !all[0].is_ejected(now_ms() + 30_000));
        // Of three servers half is one.
        fail(&all[1]);
        fail(&all[2]);
        assert!(!all[1].is_ejected(now_ms()) && !all[2].is_ejected(now_ms()));
        assert!((1..=30).contains(&upstream.retry_after()));
        all[0].eject(Duration::from_secs(30), now_ms());
        assert!(all[0].is_ejected(now_ms() + 50_000));
        assert_eq!(all[0].ejections(), 2);
        for _ in 0..10 {
            let chosen = upstream.choose(Asker::Client(1), &Tried::default());
            assert!(!Arc::ptr_eq(&chosen.unwrap(), &all[0]));
        }
    }

    #[test]
    fn what_was_let_go_is_not_taken_up_again() {
        let old = upstream();
        let new = || Upstream::new(&old.setting, &timeouts(), Some(&old));
        let shared = |new: &Upstream| {
            let all = new.endpoints();
            let known = old.endpoints();
            (all.iter().zip(&known))
                .filter(|(one, other)| Arc::ptr_eq(one, other))
                .count()
        };
        assert_eq!(shared(&new()), 2);
        // Its connections end when they are next free: a place with new ones is needed.
        old.endpoints()[0].retire();
        assert_eq!(shared(&new()), 1);
    }

    #[test]
    fn who_comes_back_gets_more_and_more() {
        let upstream = upstream();
        let endpoint = &upstream.endpoints()[1];
        let (now, slow) = (now_ms(), Duration::from_secs(10));
        endpoint.begin_slowly();
        assert!(endpoint.share(now, slow) <= 11);
        assert!((50..=60).contains(&endpoint.share(now + 5_000, slow)));
        assert_eq!(endpoint.share(now + 11_000, slow), 100);
    }

    #[test]
    fn requests_that_are_sent_again_have_a_budget() {
        let upstream = upstream();
        let all = upstream.endpoints();
        let count = || (0..1000).take_while(|_| upstream.may_retry()).count();
        assert!((3..=4).contains(&count()));
        (0..100).for_each(|_| all[0].count_request());
        assert!((20..=22).contains(&count()));
    }
}
