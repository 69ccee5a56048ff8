"""The book's way, section 3.3.1 and 5.1.2: exp divided by its sum, and the logarithm of that."""


def softmax(x, dim):
    return x.exp() / x.exp().sum(dim=dim, keepdim=True)


def log_softmax(x, dim):
    return softmax(x, dim).log()
