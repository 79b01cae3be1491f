"""Directives that need no translation, and those that have none: what the gate does instead, and what to do."""

from typing import Final

# What the gate does by itself, or better left alone.
SAME: Final = frozenset(
    """
    allow allowencodedslashes h2direct hostnamelookups httpprotocoloptions keepalive limitrequestfields
    limitrequestline listen maxkeepaliverequests mergeslashes mergetrailers order protocols proxyaddheaders
    proxyerroroverride proxyiobuffersize  proxypreservehost proxyrequests proxystatus proxyvia
     require  serveradmin servername serverroot serversignature servertokens
    sslcompression sslengine sslhonorcipherorder sslinsecurerenegotiation sslprotocol sslproxyengine sslrandomseed
    sslrequiressl sslsessioncache sslsessioncachetimeout sslsessiontickets sslstrictsnivhostcheck sslvhostsnipolicy
    stricthostcheck traceenable usecanonicalname
    """.split()
)

# About the process and its modules, and what goes with something that is said elsewhere.
QUIET: Final = frozenset(
    """
    jkautoalias jkcertsindicator jkcipherindicator jkenvvar jkextractssl jkhttpsindicator jkkeysizeindicator jklogfile
    jkloglevel jklogstampformat jkoptions jkrequestlogformat jksessionindicator jkshmfile jkwatchdoginterval
    jkworkerproperty jkworkersfile
    accessfilename addcharset adddefaultcharset addlanguage addoutputfilter addtype browsermatch coredumpdirectory
    defaultruntimedir errorlog group ifdefine listenbacklog loadmodule logformat loglevel maxclients
    maxconnectionsperchild maxrequestsperchild maxrequestworkers maxspareservers maxsparethreads mimemagicfile
    minspareservers minsparethreads mutex namevirtualhost pidfile serverlimit sslocspdefaultresponder sslocspnoverify
    sslocspoverrideresponder sslocspproxyurl sslocsprespondercertificatefile sslocsprespondertimeout
    sslocspresponsemaxage sslocspresponsetimeskew sslocspuserequestnonce sslstaplingcache
    sslstaplingerrorcachetimeout sslstaplingfaketrylater sslstaplingforceurl sslstaplingrespondertimeout
    sslstaplingresponsemaxage sslstaplingresponsetimeskew sslstaplingreturnrespondererrors
    sslstaplingstandardcachetimeout startservers threadlimit threadsperchild typesconfig user
    """.split()
)

REASONS: Final = (
    (
        {"sslverifydepth"},
        "how many CAs may stand below an authority is one number for all paths",
        "Set it by `mutualgate ca adopt --cert FILE --depth N`: one less than here.",
    ),
    (
        {"sslciphersuite", "sslopensslconfcmd", "sslproxyciphersuite", "sslproxyprotocol"},
        "the gate has a fixed choice: TLS 1.2 and 1.3 with forward secrecy",
        'Nothing, unless clients are older than TLS 1.2 (before 2014). tls_profile = "modern" is TLS 1.3 alone.',
    ),
    (
        {
            "sslproxycheckpeername",
            "sslproxycheckpeercn",
            "sslproxycheckpeerexpire",
            "sslproxycacertificatepath",
            "sslproxycarevocationfile",
            "sslproxyverifydepth",
        },
        "the gate looks at a service's certificate in one way: under ca_file, by its name and its dates",
        "See that it has the name in the address, or set server_name under [upstreams.tls].",
    ),
    (
        {"sslcertificatechainfile"},
        "the gate reads the chain from the certificate's file",
        "Append this file to the one of SSLCertificateFile.",
    ),
    (
        {"sslcacertificatepath"},
        "the gate adopts authorities one by one",
        "Run `mutualgate ca adopt --cert FILE` for each file there that is still in use, with --crl for its list and "
        "--depth, one less than SSLVerifyDepth, which is 1 where nothing says it.",
    ),
    (
        {"sslcadnrequestfile", "sslcadnrequestpath"},
        "the gate names no authorities to strangers unless it is told to",
        'Nothing: clients choose their certificate without it. If browsers shall offer less, set ca_hints = "auto".',
    ),
    (
        {"sslusestapling"},
        "the gate staples nothing",
        "Nothing: browsers do not insist on it.",
    ),
    (
        {"ssloptions", "sslusername"},
        "it is for programs inside httpd; the gate tells a service in header fields who the client is",
        "Let the service read Mutualgate-Client, Mutualgate-Subject or Client-Cert.",
    ),
    (
        {"sslpassphrasedialog"},
        "the gate asks for no passphrase of a site's key",
        "Decrypt the key: `openssl pkey -in OLD -out NEW`, readable for its owner only.",
    ),
    (
        {
            "documentroot",
            "alias",
            "aliasmatch",
            "scriptalias",
            "directoryindex",
            "options",
            "allowoverride",
            "errordocument",
        },
        "the gate serves no files",
        "Serve them by a service behind the gate, with a route of its own.",
    ),
    (
        {"authtype", "authname", "authuserfile", "authgroupfile", "authbasicprovider", "authldapurl", "authmerging"},
        "the gate knows clients by certificate, not by password",
        "Keep passwords in the service behind, or give these people certificates.",
    ),
    (
        {"customlog", "transferlog", "globallog"},
        "the gate has one access log, with the client and the verdict in each line",
        'Set gate.access_log, and gate.access_format = "json" for machines.',
    ),
    (
        {"proxypassreversecookiedomain", "proxypassreversecookiepath", "proxyhtmlenable", "proxyhtmlurlmap"},
        "the gate leaves links and cookies as they are, and the service sees the host that was asked for",
        "Tell the service its public address, if it does not take it from Host.",
    ),
    (
        {
            "rewritecond",
            "rewriterule",
            "rewritemap",
            "rewriteoptions",
            "rewritebase",
            "setenvif",
            "setenvifnocase",
            "setenv",
            "passenv",
        },
        "the gate has no variables and no conditions",
        "Drop it with the rule that it belongs to.",
    ),
    (
        {"allowmethods"},
        "the gate lets every method pass",
        "Let the service refuse the methods that it does not have.",
    ),
    (
        {"serverpath", "use", "proxyset"},
        "the gate has nothing like it",
        "Write out what it stands for, and import again.",
    ),
)
