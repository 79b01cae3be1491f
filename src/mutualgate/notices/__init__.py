"""What the gate tells by itself: letters that wait until they are sent, and what will expire.

expiry        what will end: a list, figures, letters
outbox        letters: put in the transaction of what they tell about; looked at; tried again
sender        takes what is due out of the outbox
mail          a letter as an e-mail
webhook       a letter as a signed call
secret_file   passwords and secrets, which stand in files of their own
"""
