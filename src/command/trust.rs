//! Who the client is, behind proxies: what was typed of it.

use clap::{Args, ValueEnum};
use helloop::server::{Builder, ForwardedField, ProxyVersion, TrustedProxies};

/// Trusted proxies as typed.
#[derive(Args, Clone, Debug)]
pub(crate) struct TrustArguments {
    /// Believe these proxies who their client is; `unix` for all on Unix sockets; may be repeated, or a
    /// list with commas
    #[arg(long, env = "HELLOOP_TRUSTED_PROXY", value_name = "CIDR", value_delimiter = ',')]
    trusted_proxy: Vec<TrustedProxies>,

    /// The field in which trusted proxies say so; it is one that they set or extend themselves
    #[arg(long, env = "HELLOOP_FORWARDED_IN", value_name = "FIELD")]
    #[arg(default_value = "x-forwarded-for")]
    forwarded_in: Field,

    /// Trusted proxies begin each connection with a header of the PROXY protocol, of one of these
    /// versions: v1,v2.
    ///
    /// It says who the client is. A trusted proxy that does not send it is closed, with a line in the log; everybody
    /// else is served without. It has to come within --head-timeout.
    #[arg(long, env = "HELLOOP_PROXY_PROTOCOL", value_name = "VERSIONS", value_delimiter = ',')]
    proxy_protocol: Vec<Version>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Field {
    /// A list of addresses
    XForwardedFor,
    /// The list of RFC 7239, in which `for` is looked at
    Forwarded,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Version {
    /// A line of text (haproxy: send-proxy; nginx: proxy_protocol on)
    V1,
    /// Binary (haproxy: send-proxy-v2)
    V2,
}

impl TrustArguments {
    /// # Errors
    /// When the PROXY protocol is to be believed, and of nobody: a sentence.
    pub(crate) fn check(&self) -> Result<(), String> {
        if !self.proxy_protocol.is_empty() && self.trusted_proxy.is_empty() {
            return Err(
                "--proxy-protocol needs --trusted-proxy: whoever may connect could name any \
                        client otherwise"
                    .into(),
            );
        }
        Ok(())
    }

    /// Makes a server believe them.
    pub(crate) fn attach(&self, mut builder: Builder) -> Builder {
        let proxies: TrustedProxies = self.trusted_proxy.iter().cloned().collect();
        if proxies.is_empty() {
            return builder;
        }
        if !self.proxy_protocol.is_empty() {
            let typed = self.proxy_protocol.iter();
            let versions: Vec<_> = typed
                .map(|version| match version {
                    Version::V1 => ProxyVersion::V1,
                    Version::V2 => ProxyVersion::V2,
                })
                .collect();
            builder = builder.preface(proxies.proxy_protocol(&versions));
        }
        builder.client_addr(proxies.named_in(match self.forwarded_in {
            Field::XForwardedFor => ForwardedField::XForwardedFor,
            Field::Forwarded => ForwardedField::Forwarded,
        }))
    }
}
