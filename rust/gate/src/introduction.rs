//! How a client is introduced to servers that want a PROXY header at the beginning of a connection (`send_proxy`).
//!
//! What the header says holds for all that comes after it. So a connection to such a server belongs to one client's
//! connection, and to what that was admitted as when it was opened; both are looked at when it is used again
//! ([`crate::upstream::Pools`]).

use std::{cell::RefCell, rc::Rc, sync::Arc};

use judge::{Admission, Evidence};

use crate::{
    connection::Met,
    identity::leaf::{Leaf, values},
    proxy_protocol::{
        Ends,
        write::{Client, Remarks, version_1, version_2},
    },
    settings::upstream::SendProxy,
    upstream::Preface,
};

/// commonName.
const COMMON_NAME: &str = "2.5.4.3";

/// The client's connection in the eyes of such servers.
pub(crate) struct Introduction {
    owner: u64,
    /// The last header, and what it was made of.
    last: RefCell<Option<Said>>,
}

struct Said {
    version: SendProxy,
    admission: Option<Arc<Admission>>,
    preface: Rc<Preface>,
}

impl Introduction {
    pub(crate) fn new(owner: u64) -> Introduction {
        Introduction {
            owner,
            last: RefCell::default(),
        }
    }

    /// The number of the client's connection.
    pub(crate) fn owner(&self) -> u64 {
        self.owner
    }

    /// The header in `version` for the client that has shown `chain`: as `admission`, or as nobody.
    pub(crate) fn of(
        &self,
        version: SendProxy,
        met: &Met,
        chain: &[Box<[u8]>],
        admission: Option<&Arc<Admission>>,
    ) -> Rc<Preface> {
        let mut last = self.last.borrow_mut();
        if let Some(said) = &*last
            && said.version == version
            && said.admission.as_ref().map(Arc::as_ptr) == admission.map(Arc::as_ptr)
        {
            return said.preface.clone();
        }
        let ends = Ends {
            source: met.peer,
            destination: met.local,
        };
        let header = match version {
            SendProxy::V1 => version_1(ends),
            SendProxy::V2 => {
                let common_name = admission.and_then(|admission| common_name(admission, chain));
                let client = admission.map(|admission| Client {
                    name: &admission.client().name,
                    common_name: common_name.as_deref(),
                    resumed: met.resumed,
                });
                let remarks = Remarks {
                    authority: &met.sni,
                    version: met.version,
                    cipher: met.cipher,
                    client,
                };
                version_2(ends, remarks)
            }
        };
        let preface = Rc::new(Preface {
            owner: self.owner,
            header,
        });
        *last = Some(Said {
            version,
            admission: admission.cloned(),
            preface: preface.clone(),
        });
        preface
    }
}

/// The CN of a certificate that an authority of ours has signed. In one that a client has made itself, or that a partner has
/// signed for it, it can be anybody's: nobody has looked at it.
fn common_name(admission: &Admission, chain: &[Box<[u8]>]) -> Option<String> {
    match admission.evidence() {
        Evidence::Credential | Evidence::Signed => {}
        Evidence::Pin | Evidence::Partner => return None,
    }
    let leaf = Leaf::read(chain.first()?)?;
    values(leaf.subject(), COMMON_NAME).into_iter().next()
}
