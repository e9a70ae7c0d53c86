"""Does alignment before training predict the loss after it?"""
