"""The agents of a whole cluster, asked from anywhere: `kubectl mnp status`, `top` and `denied`.

The user's own kubectl runs `mnp` in the agents' containers, with the user's credentials and permissions: no port, no
credentials of our own, and every way to log in that kubectl knows. Each node's answer is untrusted text.
"""
