//! Which authorities' names a site may send along when it asks for a certificate (RFC 8446 4.2.4, RFC 5246 7.4.4).
//!
//! A browser then offers the certificates of those issuers and hides all others. So there are names only where they leave
//! out nobody who would be admitted, and none otherwise.

use std::collections::BTreeSet;

use crate::{route::Site, snapshot::Snapshot};

impl Snapshot {
    /// The names (DER) of all whose certificates may be admitted at `site` at this moment, sorted; `None` where a list
    /// would be wrong or longer than `most_bytes`.
    ///
    /// It is wrong where a pin counts, whose issuer is not known, and on a site with the portal, to which clients bring
    /// certificates that nobody has seen before.
    pub fn issuer_names(&self, site: &Site, at: i64, most_bytes: usize) -> Option<Vec<&[u8]>> {
        if site.portal().is_some() || self.pins.any_counts(at) {
            return None;
        }
        let mut names = BTreeSet::new();
        let mut left = most_bytes;
        for anchor in self.authorities.all().chain(self.partners.anchors.all()) {
            let elsewhere = (anchor.terms.as_ref())
                .and_then(|terms| terms.environment.as_deref())
                .is_some_and(|environment| environment != site.environment());
            // One that is not yet valid will be, without an epoch.
            if !elsewhere && at <= anchor.not_after {
                add(&mut names, &mut left, &anchor.subject)?;
            }
        }
        // CAs below the partners' own: a certificate names the one that issued it.
        for name in self.partners.helper_names() {
            add(&mut names, &mut left, name)?;
        }
        Some(names.into_iter().collect())
    }
}

/// Adds a name, which stands behind its length; `None` if there is no room `left`.
fn add<'s>(names: &mut BTreeSet<&'s [u8]>, left: &mut usize, name: &'s [u8]) -> Option<()> {
    if names.insert(name) {
        *left = left.checked_sub(name.len() + 2)?;
    }
    Some(())
}
