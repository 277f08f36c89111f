//! The kernels' counters, by their names.

use carp_proto::Rejection;

/// Packets counted as `netstat -s -p carp` counts them, for the whole node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Packets received over IPv4, good or bad.
    pub ipackets: u64,
    /// Packets received over IPv6, good or bad.
    pub ipackets6: u64,
    /// Received on an interface without CARP.
    pub badif: u64,
    /// TTL or hop limit was not 255.
    pub badttl: u64,
    /// The header could not be read.
    pub hdrops: u64,
    /// Wrong checksum.
    pub badsum: u64,
    /// Wrong version.
    pub badver: u64,
    /// Too short.
    pub badlen: u64,
    /// Wrong HMAC: another password, or another list of addresses.
    pub badauth: u64,
    /// No virtual host with this vhid on this interface.
    pub badvhid: u64,
    /// Advertisements sent over IPv4.
    pub opackets: u64,
    /// Advertisements sent over IPv6.
    pub opackets6: u64,
    /// No transmit buffer; the frame was sent later.
    pub onomem: u64,
    /// Transitions to MASTER.
    pub preempt: u64,
    /// Frames that could not be sent.
    pub senderr: u64,
    /// Valid advertisements that were heard before, or sent by ourselves and changed since: somebody
    /// recorded them. Also counted as `badauth`.
    pub replays: u64,
    /// Our own advertisements that came back: a loop in the network. Also counted as `badauth`.
    pub loops: u64,
    /// Advertisements that the network delivered twice.
    pub duplicates: u64,
}

impl Stats {
    pub(crate) fn count(&mut self, rejection: Rejection) {
        let counter = match rejection {
            Rejection::BadIf => &mut self.badif,
            Rejection::BadTtl => &mut self.badttl,
            Rejection::HdrOps => &mut self.hdrops,
            Rejection::BadSum => &mut self.badsum,
            Rejection::BadVer => &mut self.badver,
            Rejection::BadLen => &mut self.badlen,
            Rejection::BadAuth => &mut self.badauth,
            Rejection::BadVhid => &mut self.badvhid,
        };
        bump(counter);
    }

    /// Every counter with its name, in the order of `netstat -s -p carp`.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, u64)> {
        [
            ("ipackets", self.ipackets),
            ("ipackets6", self.ipackets6),
            ("badif", self.badif),
            ("badttl", self.badttl),
            ("hdrops", self.hdrops),
            ("badsum", self.badsum),
            ("badver", self.badver),
            ("badlen", self.badlen),
            ("badauth", self.badauth),
            ("badvhid", self.badvhid),
            ("opackets", self.opackets),
            ("opackets6", self.opackets6),
            ("onomem", self.onomem),
            ("preempt", self.preempt),
            ("senderr", self.senderr),
            ("replays", self.replays),
            ("loops", self.loops),
            ("duplicates", self.duplicates),
        ]
        .into_iter()
    }
}

/// Counters saturate: one that wrapped would tell a lie.
#[cfg_attr(target_pointer_width = "32", inline(never))] // for flash: it has many callers
pub(crate) fn bump(counter: &mut u64) {
    *counter = counter.saturating_add(1);
}
