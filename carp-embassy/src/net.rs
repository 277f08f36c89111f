use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use embassy_net::{IpCidr, Stack, StaticConfigV4, StaticConfigV6};
use embassy_sync::blocking_mutex::raw::RawMutex;

use embassy_time::{Duration, with_timeout};

use crate::{Control, Gateway};

/// How long an address that has changed may go unnoticed.
const LOOK_AGAIN: Duration = Duration::from_secs(5);

/// # With embassy-net
impl<M: RawMutex, const ADDRS: usize> Control<M, ADDRS> {
    /// Tells CARP the addresses and gateways of the main network stack, whenever they change, for ever: for DHCP.
    /// While the stack has none, nor has CARP: see [`set_addresses`](Self::set_addresses).
    ///
    /// embassy-net has one IPv6 address, which is normally not the link-local one that CARP sends from: give that here
    /// (`None`: no IPv6).
    pub async fn follow(&self, stack: Stack<'_>, link_local: Option<Ipv6Addr>) -> ! {
        loop {
            self.set_stack_config(stack.config_v4(), stack.config_v6(), link_local);
            if stack.is_config_up() {
                // Another lease may be another address, without a time between them.
                let _ = with_timeout(LOOK_AGAIN, stack.wait_config_down()).await;
            } else {
                stack.wait_config_up().await;
            }
        }
    }

    /// The same once, for a program that watches the configuration of its stack itself.
    pub fn set_stack_config(
        &self,
        ipv4: Option<StaticConfigV4>,
        ipv6: Option<StaticConfigV6>,
        link_local: Option<Ipv6Addr>,
    ) {
        let own = ipv4.as_ref().map(|config| config.address.address());
        self.set_addresses(
            own.filter(|address| *address != Ipv4Addr::UNSPECIFIED),
            link_local,
        );
        self.set_gateways(
            ipv4.and_then(|config| Some(gateway(config.address.into(), config.gateway?.into()))),
            ipv6.and_then(|config| Some(gateway(config.address.into(), config.gateway?.into()))),
        );
    }
}

fn gateway(network: IpCidr, router: IpAddr) -> Gateway {
    Gateway {
        network: network.address().into(),
        prefix_len: network.prefix_len(),
        router,
    }
}
