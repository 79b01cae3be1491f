"""Apache httpd, for those who keep it: write a configuration that does what the gate does, or read one that is there.

Knows httpd's directives. Does not know the store: the caller hands over certificates, revocation lists and names.

    export.py    what the gate knows -> httpd.conf, mutualgate.conf and the files that they name
    names.py     the header fields that say who somebody is, ours and those of other proxies
    write.py     puts those files into a folder
    syntax.py    the text of an httpd configuration -> directives with file and line
    grants.py    who may pass, as far as a route can say it
    expressions.py SSLRequire and Require expr -> such a grant
    access.py    Require and its kin -> the same
    fields.py    Header and RequestHeader -> rules for header fields
    rewriting.py Redirect and RewriteRule -> paths, and where they lead
    pools.py     ProxyPass, balancers and their parameters -> upstreams
    vhost.py     directives -> what each virtual host does about clients and services
    known.py     directives that need no translation, and those that have none
    routes.py    a virtual host -> the routes of a site
    import_.py   all of it -> mutualgate.toml, and what could not be carried over
    report.py    the list of that
    toml.py      values as TOML writes them
"""
