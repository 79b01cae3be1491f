"""The service that `up` puts behind the gate when there is none yet: it shows what a service behind the gate sees.

Knows the gate's header fields. Does not know the store, the judge or the gate: it believes what it is told, like any
service behind.

    handshake.py   header fields -> who is asking, and the six steps of the handshake
    page.py        those as HTML, JSON or text
    service.py     the addresses
"""
