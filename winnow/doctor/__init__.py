"""What `winnow doctor` looks at: this machine, this project and the servers, a function a finding."""
