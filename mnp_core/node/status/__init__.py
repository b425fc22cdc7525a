"""Answers about the running agent, through a Unix socket for root: the rules in force, their age, and problems.

A fault in here concerns those who ask, never enforcement: the agent's own thread does short reads alone.
"""
