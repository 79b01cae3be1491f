"""The pages for people: who was invited comes in here; operators and partners have theirs beside it.

A service behind the gate like any other: it believes the gate's header fields, and nobody but the gate can connect.
Its routes have the mode `shown`, so it hears of refused and of no certificates, too, and says why in words.

    application.py  which addresses there are
    desk.py         a view in, an endpoint out: guard, negotiation, errors and header fields in one place
    asked.py        one request, as a view sees it: the visitor, a bounded body, paths
    visitor.py      the gate's header fields -> who is there and which certificate was shown
    turns.py        the threads in which services are called; who reads does not wait for who writes
    sent.py         a form that is sent twice does once what it does
    guard.py        who may change something: cross-site requests, methods, bodies
    answers.py      pages, JSON, text; the policy that they are sent with
    problems.py     an error -> its status and what a visitor reads (RFC 9457)
    assets.py       static files under the hash of what is in them
    joining.py      the door, and the page of an invitation with the ways that it offers (ways.py)
    csr.py, own.py, apple.py, windows.py, linux.py    the ways
    arriving.py     what was handed in: the wait, the certificate, the test of it
    me.py           who am I
    helping.py      instructions for each browser and program
    explaining.py   what a file is that somebody has
    systems.py      a guess at the visitor's machine, and what is best there
    showing.py      the certificate that was shown, in words
    diagnosis.py    why the right one did not arrive
    remembered.py   the cookie by which a browser that was in is known again
"""
