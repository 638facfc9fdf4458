"""Mail: what is to be sent, and the sending.

Owns `mail_queue`, which holds ids and due times only. What a mail says, and to whom, is found out when it is sent, by
the domain that asked for it: so nothing personal waits in a queue, and nothing outdated is sent.
"""
