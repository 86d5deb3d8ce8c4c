//! RL07xx: the container's network.

use super::entries;

entries! {
    /// The program that carries the packets is not there.
    NO_PROGRAM = 701, exit 125, "the program of the network is missing",
        why "The container's packets are carried by slirp4netns (the default) or pasta, programs of their own, and this one is in none of the directories of PATH nor where install.sh puts it.",
        fix "Ask the administrator to install the package slirp4netns (or passt, for pasta), or run without a network: --network=none.";
    /// /dev/net/tun can't be used.
    NO_TUN = 702, exit 125, "/dev/net/tun cannot be used",
        why "The program of the network makes an interface through /dev/net/tun. The device is missing (the module tun is not loaded, or an outer container has no such device) or closed to you.",
        fix "Ask the administrator for: modprobe tun, and chmod 666 /dev/net/tun. Or run without a network: --network=none.";
    /// libslirp has holes.
    OLD_LIBSLIRP = 703, exit 125, "libslirp is too old to be safe",
        why "libslirp before 4.6.0 reads and writes beyond its buffers when a container sends it certain packets (CVE-2020-29129, CVE-2021-3592 to 3595). It would run as you.",
        fix "Ask the administrator for a newer libslirp, or use --network=pasta or --network=none.";
    /// The network was not made.
    NETWORK = 704, exit 125, "cannot make the container's network",
        why "The program of the network gave up, was too slow, or does not know an option. Its own words are in the message.",
        fix "The message says which it was. Without a network the container runs with --network=none.";
    /// A port can't be published.
    PORT = 705, exit 125, "cannot publish a port",
        why "The port of the host is in use, is below net.ipv4.ip_unprivileged_port_start, or the address is not this machine's.",
        fix "Choose another port or address of the host.";
    /// The network ended before the container.
    LOST = 706, exit 125, "the container's network is gone",
        why "The program that carries the container's packets has ended: it was killed, or it failed. The container goes on without a network.",
        fix "Restart the container.";
    /// A port that is not published.
    NO_SUCH_PORT = 707, exit 125, "no such published port",
        why "The container does not publish this port, or its network can't publish any.",
        fix "rl port CONTAINER lists what it publishes.";
    /// nft is missing.
    NO_NFT = 708, exit 125, "nft is missing",
        why "What goes out of a container is filtered by nftables, whose rules the program nft loads, and it is in none of the directories of PATH, nor in /usr/sbin or /sbin.",
        fix "Ask the administrator to install the package nftables. Without a network, nothing goes out either: --network=none.";
    /// The filter could not be made.
    EGRESS = 709, exit 125, "cannot filter what goes out",
        why "The kernel or nft refused the rules of --egress. Nothing was started, because a container without them would reach everything.",
        fix "The message says which it was. The kernel needs nf_tables with connection tracking (CONFIG_NF_TABLES_INET, CONFIG_NFT_CT, CONFIG_NFT_REJECT_INET). Without a network nothing goes out either: --network=none.";
    /// A named network.
    NAMED = 710, exit 125, "a network cannot be used",
        why "A network by name is a bridge in a network namespace that a process of rl's holds, with slirp4netns for the way out. One of the programs that make it, or the kernel, has refused; or an address or a name is another's.",
        fix "The message says which it was. rl network ls and rl network inspect NAME show what there is.";
    /// A program is missing.
    NO_TOOL = 711, exit 125, "a program for named networks is missing",
        why "Networks by name are made with ip (package iproute2), which is in none of the directories of PATH, nor in /usr/sbin, /sbin, /usr/bin or /bin.",
        fix "Ask the administrator to install it. One container alone needs no network by name: leave --network out.";
    /// No such network.
    NO_NETWORK = 712, exit 125, "no such network",
        why "A word of --network that is none of slirp4netns, pasta, none, host and container:NAME is the name of a network that rl network create has made.",
        fix "rl network ls lists them; rl network create NAME makes one.";
    /// A network that is used.
    NETWORK_IN_USE = 713, exit 1, "the network is in use",
        why "A container that exists, running or not, was made for this network.",
        fix "Remove the container first (rl rm).";
    /// `rl: ports` ended before the container.
    PORTS_LOST = 714, exit 125, "published ports are gone",
        why "Ports over IPv6 and UDP, and in a network by name all ports, are served by rl: ports, a process of rl's own, and it has ended: it was killed, or it failed. The container goes on without these ports.",
        fix "rl port rm and rl port add publish them again; so does a restart of the container.";
    /// `rl: egress` ended before the container.
    NAMES_LOST = 715, exit 125, "the container finds no names any more",
        why "With --egress names are answered by rl: egress, a process of rl's own, and it has ended: it was killed, or it failed. The container goes on; no further address is let out by its name, and what is allowed by its address still is.",
        fix "Restart the container.";
}
