"""Impure: the processes that put load on a server and write down what came back."""
