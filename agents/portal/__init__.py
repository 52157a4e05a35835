"""The page that a letter links to: pay, contest, promise. It decides nothing: what people do there
becomes events like any other.
"""
