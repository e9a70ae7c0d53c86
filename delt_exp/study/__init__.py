"""Many runs that answer one question: which jobs, launched once, and one page about them."""
