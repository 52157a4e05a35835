"""The web pages in which credit controllers work, served by the gateway. They show what is, and
write down what people do; every decision is the pipeline's.
"""
