// A browser starts no search for a page that was opened as a file: no box is better than a dead one.
if (location.protocol === "file:")
  for (const part of document.querySelectorAll('[data-md-component="search"], label[for="__search"]'))
    part.style.display = "none";
