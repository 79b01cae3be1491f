"""Apache httpd, for those who keep it: write a configuration that does what the gate does, or read one that is there.

Knows httpd's directives. Does not know the store: the caller hands over certificates, revocation lists and names.

    export.py    what the gate knows -> httpd.conf, mutualgate.conf and the files that they name
    names.py     the header fields that say who somebody is, ours and those of other proxies
    write.py     puts those files into a folder
    syntax.py    the text of an httpd configuration -> directives with file and line
    access.py    Require and its kin -> who may pass
    vhost.py     directives -> what each virtual host does about clients and services
    import_.py   that -> mutualgate.toml, and what could not be carried over
"""
